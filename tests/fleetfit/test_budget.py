"""Budgets: one syntax, read and printed, with every wrong turn named."""

from __future__ import annotations

import contextlib
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetfit import Budget, InputError, Metric
from tests.fleetfit.strategies import assert_round_trip

relations: dict[str, Any] = {"throughput": ">="}
metrics: st.SearchStrategy[Metric] = st.sampled_from(get_args(Metric))
units = {
    "latency_p50": ["us", "ms", "s", "%"],
    "latency_p90": ["us", "ms", "s", "%"],
    "memory": ["B", "KiB", "MiB", "GiB", "KB", "MB", "GB", "%"],
    "size": ["B", "KiB", "MiB", "GiB", "KB", "MB", "GB", "%"],
    "params": ["", "K", "M", "B", "%"],
    "throughput": ["/s", "%"],
    "quality_drop": ["%"],
}


@st.composite
def budgets(draw: st.DrawFn) -> Budget:
    metric = draw(metrics)
    return Budget(
        metric=metric,
        relation=relations.get(metric, "<="),
        limit=draw(st.floats(1e-9, 1e12)),
        relative=metric != "quality_drop" and draw(st.booleans()),
    )


@pytest.mark.parametrize(
    ("text", "metric", "limit", "relative"),
    [
        ("latency_p50<=8ms", "latency_p50", 0.008, False),
        ("latency_p90 <= 900 us", "latency_p90", 0.0009, False),
        ("latency_p50<=1.5s", "latency_p50", 1.5, False),
        ("memory<=160MiB", "memory", 160 * 2**20, False),
        ("memory<=1GB", "memory", 1e9, False),
        ("size<=60MiB", "size", 60 * 2**20, False),
        ("params<=20M", "params", 2e7, False),
        ("params<=12345", "params", 12345, False),
        ("throughput>=200/s", "throughput", 200, False),
        ("quality_drop<=1%", "quality_drop", 0.01, False),
        ("latency_p50<=50%", "latency_p50", 0.5, True),
        ("throughput>=150%", "throughput", 1.5, True),
    ],
)
def test_the_syntax_of_the_design(text: str, metric: str, limit: float, relative: bool) -> None:
    budget = Budget.parse(text)
    assert (budget.metric, budget.relative) == (metric, relative)
    assert budget.limit == pytest.approx(limit, rel=1e-12)
    assert budget.relation == relations.get(metric, "<=")


@given(budgets())
def test_json_round_trip(budget: Budget) -> None:
    assert_round_trip(budget)


@given(budgets())
def test_what_is_printed_can_be_typed(budget: Budget) -> None:
    read = Budget.parse(str(budget))
    assert read.limit == pytest.approx(budget.limit, rel=5.1e-4)  # four significant digits
    assert (read.metric, read.relation, read.relative) == (
        budget.metric,
        budget.relation,
        budget.relative,
    )
    assert str(Budget.parse(str(read))) == str(read)


@given(metrics, st.integers(1, 9999), st.integers(0, 3), st.data())
def test_four_typed_digits_survive(
    metric: str, digits: int, shift: int, data: st.DataObject
) -> None:
    unit = data.draw(st.sampled_from(units[metric]))
    number = f"{digits / 10**shift:.{shift}f}"
    budget = Budget.parse(f"{metric}{relations.get(metric, '<=')}{number}{unit}")
    # Bytes print as MiB, whatever unit was typed; everything else keeps its decimal digits.
    exact = metric not in ("memory", "size") or unit in ("MiB", "%")
    assert Budget.parse(str(budget)).limit == pytest.approx(
        budget.limit, rel=1e-12 if exact else 5.1e-4
    )


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "must read like"),
        ("latency_p50", "must read like"),
        ("latency_p50<8ms", "must read like"),
        ("latency_p50=8ms", "must read like"),
        ("latency_p50<=-8ms", "must read like"),
        ("latency_p50<=ms", "must read like"),
        ("latency_p50<=8ms,memory<=1MiB", "must read like"),
        ("latency<=8ms", "metric must be one of latency_p50, .* but got 'latency'"),
        ("latency_p99<=8ms", "but got 'latency_p99'"),
        ("latency_p50<=8", "unit of latency_p50 must be us, ms, s, %, but got 'none'"),
        ("latency_p50<=8MiB", "unit of latency_p50 must be us, ms, s, %, but got 'MiB'"),
        ("memory<=160M", "but got 'M'"),
        ("params<=20ms", "unit of params must be no unit, K, M, B, %"),
        ("throughput>=200", "unit of throughput must be /s, %"),
        ("quality_drop<=1", "unit of quality_drop must be %"),
        ("latency_p50>=8ms", "must be an upper limit .* but got latency_p50>="),
        ("throughput<=200/s", "for throughput a lower one .* but got throughput<="),
        ("latency_p50<=0ms", "above 0 and finite"),
        (f"params<={'9' * 400}", "above 0 and finite, got inf"),
    ],
)
def test_a_wrong_budget_is_refused_with_a_sentence(text: str, complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        Budget.parse(text)


@given(st.text(max_size=30))
def test_any_text_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(InputError):
        assert isinstance(Budget.parse(text), Budget)


@pytest.mark.parametrize(
    "fields",
    [
        {"metric": "energy"},
        {"relation": "<"},
        {"limit": float("nan")},
        {"metric": "quality_drop", "relative": True},
    ],
)
def test_a_budget_built_wrong_is_refused(fields: dict[str, Any]) -> None:
    good: dict[str, Any] = {"metric": "memory", "relation": "<=", "limit": 1.0}
    with pytest.raises(InputError, match=r"must be one of|above 0 and finite|marked relative"):
        Budget(**{**good, **fields})


def test_a_relative_budget_is_a_share_of_the_source() -> None:
    relative = Budget.parse("latency_p50<=50%")
    assert relative.resolve(0.02) == Budget(metric="latency_p50", relation="<=", limit=0.01)
    absolute = Budget.parse("latency_p50<=8ms")
    assert absolute.resolve(0.02) is absolute
    with pytest.raises(InputError, match="resolved first"):
        relative.excess(0.02)


def test_excess_is_relative_to_the_limit_and_positive_where_missed() -> None:
    upper = Budget.parse("latency_p50<=8ms")
    assert upper.excess(0.010) == pytest.approx(0.25)
    assert upper.excess(0.008) == 0
    assert upper.excess(0.006) == pytest.approx(-0.25)
    lower = Budget.parse("throughput>=200/s")
    assert lower.excess(100) == pytest.approx(0.5)
    assert lower.excess(300) == pytest.approx(-0.5)


@given(budgets())
def test_the_exact_text_reads_back_as_the_same_budget(budget: Budget) -> None:
    assert Budget.parse(budget.exact) == budget


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("latency_p50<=10ms", 0.009),
        ("latency_p90<=10ms", 0.009),
        ("throughput>=90/s", 100.0),
        ("memory<=1000B", 1000.0),
        ("params<=1000", 1000.0),
        ("quality_drop<=1%", 0.01),
    ],
)
def test_a_reserve_is_taken_from_limits_on_times(text: str, limit: float) -> None:
    assert Budget.parse(text).stricter(0.1).limit == pytest.approx(limit)


@pytest.mark.parametrize("share", [-0.1, 1.0])
def test_a_reserve_is_a_share(share: float) -> None:
    with pytest.raises(InputError, match="at least 0 and below 1"):
        Budget.parse("latency_p50<=10ms").stricter(share)
