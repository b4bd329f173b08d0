from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetfit import InputError
from search import SearchSettings, paired_gain, result_rows, search
from supernet.spaces import ElasticSpace
from tests.search.toy import BF16, FP32, ToyQuality, toy_problem


def test_the_gain_is_the_mean_of_the_differences_with_its_standard_error() -> None:
    found = paired_gain([1.0, 2.0, 3.0], [1.5, 2.0, 4.0])
    assert found.gain == pytest.approx(0.5)
    assert found.se == pytest.approx(0.5 / math.sqrt(3))


@given(st.lists(st.floats(-100, 100), min_size=2, max_size=20), st.floats(-1, 1))
def test_what_items_share_adds_no_error(losses: list[float], shift: float) -> None:
    found = paired_gain(losses, [v + shift for v in losses])
    assert found.gain == pytest.approx(shift, abs=1e-9)
    assert found.se == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize("rival", [[1.0], [1.0, float("nan")], [1.0, 2.0, 3.0]])
def test_losses_that_do_not_pair_are_refused(rival: list[float]) -> None:
    with pytest.raises(InputError, match="Paired losses"):
        paired_gain([1.0, 2.0], rival)


def test_rows_show_winner_uniform_front_and_the_source_in_every_target(
    tiny_space: ElasticSpace,
) -> None:
    settings = SearchSettings(population=12, evaluations=24, pool=16, samples=8)
    found = search(toy_problem(tiny_space, "params<=20K"), ToyQuality(), settings=settings)
    rows = result_rows(found, front=2)
    roles = [role for role, _ in rows]
    assert roles[:2] == ["winner", "uniform"]
    assert 0 < roles.count("front") <= 2
    source = [e for role, e in rows if role == "source"]
    assert [r.candidate.target for r in source] == [FP32, BF16]
    assert all(r.candidate.architecture == tiny_space.largest() for r in source)
    assert rows[0][1].loss == min(e.loss for _, e in rows if e.feasible)
