from __future__ import annotations

import numpy as np
import pytest

from fleetfit import InputError
from predictors.report import errors_of


def test_errors_by_hand() -> None:
    got = errors_of(np.array([1.05, 2.4, 3.0, 4.0]), np.array([1.0, 2.0, 3.0, 4.0]))
    assert got.mape == pytest.approx((0.05 + 0.2) / 4)
    assert got.within_10 == 0.75
    assert got.tau == 1


def test_one_swapped_pair_of_three_by_hand() -> None:
    got = errors_of(np.array([2.0, 1.0, 3.0]), np.array([1.0, 2.0, 3.0]))
    assert got.tau == pytest.approx((2 - 1) / 3)


def test_equal_predictions_have_no_rank() -> None:
    assert errors_of(np.ones(3), np.array([1.0, 2.0, 3.0])).tau == 0


def test_nothing_to_compare_is_refused() -> None:
    with pytest.raises(InputError, match="at least one"):
        errors_of(np.ones(0), np.ones(0))
