from __future__ import annotations

from pathlib import Path

import pytest

from fleetfit import Budget, InputError, Target, Workload
from search.cost import Estimate
from search.record import Ranked, SearchRecord, VerifiedRecord, read_record, write_record
from tests.conftest import build_tiny_source


def record() -> SearchRecord:
    one = Ranked(
        architecture=build_tiny_source(),
        target=Target(runtime="onnxruntime"),
        loss=0.5,
        costs={"latency_p50": Estimate(mean=0.002, lower=0.001, upper=0.003)},
    )
    return SearchRecord(
        budgets=("latency_p50<=50%",),
        resolved=(Budget.parse("latency_p50<=1.2345678ms").exact,),
        reserve=0.1,
        workload=Workload(seq_len=16),
        ranking=(one,),
        source=(one,),
    )


def test_a_record_reads_back_as_it_was_written(tmp_path: Path) -> None:
    write_record(tmp_path / "search.json", record())
    assert read_record(tmp_path / "search.json", SearchRecord) == record()


def test_candidates_are_judged_with_the_reserve() -> None:
    (budget,) = record().strict_budgets
    assert budget.limit == pytest.approx(0.9 * 1.2345678e-3)


def test_a_record_of_search_is_none_of_verify(tmp_path: Path) -> None:
    write_record(tmp_path / "search.json", record())
    with pytest.raises(InputError, match="written by verify, but is not"):
        read_record(tmp_path / "search.json", VerifiedRecord)


def test_budgets_keep_their_unrounded_limits() -> None:
    (budget,) = record().absolute_budgets
    assert budget == Budget.parse("latency_p50<=1.2345678ms")
    assert str(budget) == "latency_p50<=1.235ms"


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"budgets": []}'])
def test_another_file_is_no_record(tmp_path: Path, text: str) -> None:
    (tmp_path / "search.json").write_text(text)
    with pytest.raises(InputError, match="written by search, but is not"):
        read_record(tmp_path / "search.json", SearchRecord)
