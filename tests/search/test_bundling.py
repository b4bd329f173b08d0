from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from fleetfit import Budget, InfeasibleError, InputError, Measurement, Target, Workload
from search.bundling import make_bundle
from search.cli import main
from search.order import Order
from search.scoring import LabelledFile
from tests.search.cli_fakes import measured_by_fake


@pytest.fixture(scope="module")
def tuned(supernet: Path, labelled: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tuned") / "model"
    words = ["--train", str(labelled), "--epochs", "1", "--max-length", "16"]
    assert main(["finetune", str(supernet), str(path), *words]) == 0
    return path


def order(*budgets: str) -> Order:
    return Order(
        target=Target(runtime="onnxruntime"),
        workload=Workload(seq_len=16),
        budgets=tuple(map(Budget.parse, budgets)),
    )


def test_a_bundle_holds_what_was_measured(tuned: Path, tmp_path: Path) -> None:
    made = make_bundle(
        tuned, tmp_path / "out", order=order("params<=1M"), measure=measured_by_fake()
    )
    assert made.parity.holds
    assert made.budgets == ("params<=1000000",)
    assert made.measured.latency_p50_s is not None
    assert made.metric is None


def test_a_missed_budget_leaves_no_bundle(tuned: Path, tmp_path: Path) -> None:
    slow = measured_by_fake(slower=1000)
    with pytest.raises(InfeasibleError, match=r"<=1ms, but measured .*ms at the upper end"):
        make_bundle(tuned, tmp_path / "out", order=order("latency_p50<=1ms"), measure=slow)
    assert not (tmp_path / "out").exists()


def test_a_quality_drop_needs_the_metric_of_both_models(tuned: Path, tmp_path: Path) -> None:
    found: list[Measurement] = []
    asked = order("quality_drop<=1%")
    with pytest.raises(InputError, match="give --test and --source-accuracy"):
        make_bundle(tuned, tmp_path / "out", order=asked, measure=measured_by_fake(kept=found))
    assert not found


@pytest.mark.parametrize(("source", "kept"), [(0.001, True), (1000.0, False)])
def test_a_quality_drop_is_judged_by_the_exported_model(
    tuned: Path,
    labelled: Path,
    tmp_path: Path,
    source: float,
    kept: bool,
) -> None:
    asked = dataclasses.replace(
        order("quality_drop<=50%"), test=LabelledFile(path=labelled), source_accuracy=source
    )
    if kept:
        made = make_bundle(tuned, tmp_path / "out", order=asked, measure=measured_by_fake())
        assert made.metric is not None
        return
    with pytest.raises(InfeasibleError, match="must keep quality_drop<=50%"):
        make_bundle(tuned, tmp_path / "out", order=asked, measure=measured_by_fake())
    assert not (tmp_path / "out").exists()


def test_a_damaged_model_is_refused(tuned: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="must be an existing file"):
        make_bundle(tmp_path, tmp_path / "out", order=order(), measure=measured_by_fake())


def test_a_reading_that_disagrees_is_taken_once_more(tuned: Path, tmp_path: Path) -> None:
    readings: list[Measurement] = []
    measure = measured_by_fake(kept=readings)
    first = dataclasses.replace(order(), verified_s=1.0)
    made = make_bundle(tuned, tmp_path / "one", order=first, measure=measure)
    assert len(readings) == 2
    agreeing = dataclasses.replace(order(), verified_s=made.measured.latency_p50_s)
    make_bundle(tuned, tmp_path / "two", order=agreeing, measure=measure)
    assert len(readings) == 3
