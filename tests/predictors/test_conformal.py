from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from predictors.conformal import conformal_quantile, covered, folds_of


def test_the_quantile_has_the_finite_sample_correction() -> None:
    # ceil((19 + 1) x 0.9) = 18th of 19, not the 90 % quantile of the sample.
    assert conformal_quantile(np.arange(1.0, 20.0), 0.9) == 18


def test_too_few_scores_give_the_greatest() -> None:
    assert conformal_quantile(np.array([3.0, 1.0]), 0.9) == 3


def test_new_rows_are_covered_as_often_as_said() -> None:
    rng = np.random.default_rng(0)
    inside = [
        abs(rng.standard_normal()) <= conformal_quantile(np.abs(rng.standard_normal(39)), 0.9)
        for _ in range(4000)
    ]
    # (39 + 1) x 0.9 = 36 exactly, so the coverage is 0.9; standard error 0.005.
    assert np.mean(inside) == pytest.approx(0.9, abs=0.02)


def test_coverage_by_hand() -> None:
    # Without itself, the greatest of 20 is outside, all others are inside the 18th of 19.
    assert covered(np.arange(20.0), 0.9) == pytest.approx(18 / 20)


@given(st.lists(st.integers(0, 30), min_size=2, max_size=60), st.integers(2, 10))
def test_folds_hold_each_row_out_once_and_keep_groups_together(
    names: list[int], count: int
) -> None:
    groups = np.array(names)
    folds = folds_of(groups, count=count, seed=0)
    if len(set(names)) > 1:
        np.testing.assert_array_equal(np.sum(folds, axis=0), np.ones(len(names)))
    for held in folds:
        assert not set(groups[held]) & set(groups[~held])


def test_equal_seeds_give_equal_folds() -> None:
    groups = np.arange(20)
    first, second = (folds_of(groups, count=5, seed=4) for _ in range(2))
    np.testing.assert_array_equal(first, second)
