from __future__ import annotations

import numpy as np
import pytest

from fleetfit import InputError
from predictors import Prediction


def test_an_interval_out_of_order_is_refused() -> None:
    with pytest.raises(InputError, match="lower <= mean <= upper"):
        Prediction(mean=np.ones(2), lower=np.array([0.5, 1.5]), upper=np.full(2, 2.0))


def test_nan_is_refused() -> None:
    with pytest.raises(InputError, match="lower <= mean <= upper"):
        Prediction.exact([1.0, float("nan")])


def test_arrays_of_other_shapes_are_refused() -> None:
    with pytest.raises(InputError, match="shape N"):
        Prediction(mean=np.ones(2), lower=np.ones(2), upper=np.ones(3))


def test_an_exact_prediction_has_no_width() -> None:
    got = Prediction.exact([1, 2])
    assert len(got) == 2
    np.testing.assert_array_equal(got.lower, got.upper)
