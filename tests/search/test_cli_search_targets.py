"""Which targets ``search`` takes where none is named: learned ones, for every budget, but int8."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from devices import describe
from fleetfit import Budget, Target, Workload
from search.cli.search import _targets

WORKLOAD = Workload()
FP32, BF16, INT8 = (
    Target(runtime="openvino", precision=precision) for precision in ("fp32", "bf16", "int8")
)


def learned(*targets: Target, workload: Workload = WORKLOAD) -> Any:
    reports = [SimpleNamespace(target=target, workload=workload) for target in targets]
    return SimpleNamespace(reports=reports)


def chosen(budget: str, **costs: Any) -> tuple[Target, ...]:
    learned_costs: dict[Any, Any] = costs
    return _targets(None, (describe(), None, WORKLOAD), learned_costs, [Budget.parse(budget)])


@pytest.mark.parametrize(
    ("budget", "latency", "memory", "wanted"),
    [
        ("latency_p50<=8ms", [FP32, BF16, INT8], [], [FP32, BF16]),
        ("latency_p50<=8ms", [INT8], [], [INT8]),
        ("memory<=99MiB", [FP32, BF16, INT8], [BF16], [BF16]),
        ("memory<=99MiB", [FP32, BF16], [], [FP32, BF16]),  # to be refused for what is missing
        ("params<=9M", [BF16], [], [BF16]),
    ],
)
def test_those_learned_for_every_budget_but_int8(
    budget: str,
    latency: list[Target],
    memory: list[Target],
    wanted: list[Target],
    capsys: pytest.CaptureFixture[str],
) -> None:
    found = chosen(budget, latency_p50=learned(*latency), memory=learned(*memory))
    assert found == tuple(wanted)
    said = capsys.readouterr().err
    for target in {*latency} - {*wanted}:
        assert f"{target} is left out" in said


def test_what_was_learned_for_another_workload_does_not_count() -> None:
    other = learned(INT8, workload=Workload(batch=8))
    assert INT8 not in chosen("latency_p50<=8ms", latency_p50=other)
