from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from predictors.committee import jackknife_error, relative_width


def test_the_jackknife_of_a_mean_is_its_standard_error() -> None:
    # Known: leaving out one value at a time gives s / sqrt(n) exactly (Efron & Tibshirani 1993).
    values = np.random.default_rng(0).normal(size=12)
    left_out = [np.array([np.delete(values, i).mean()]) for i in range(12)]
    expected = values.std(ddof=1) / np.sqrt(12)
    assert jackknife_error(left_out)[0] == pytest.approx(expected)


def test_models_that_agree_have_no_error() -> None:
    assert (jackknife_error([np.array([1.0, 2.0])] * 5) == 0).all()


@given(half=st.floats(0, 1), errors=st.lists(st.floats(0, 1), min_size=2, max_size=5))
def test_never_narrower_than_calibrated_and_wider_with_the_error(
    half: float, errors: list[float]
) -> None:
    width = relative_width(half, np.sort(np.array(errors)))
    assert (width >= np.exp(half) - np.exp(-half) - 1e-12).all()
    assert (np.diff(width) >= 0).all()
