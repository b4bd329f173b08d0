"""How uncertain a cost is at each network: what models that were learned from less disagree by."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from predictors.prediction import FloatArray

__all__ = ["jackknife_error", "relative_width"]

_NORMAL_95 = 1.645
"""Standard errors to either side that 90 % of a normal distribution lie within."""


def jackknife_error(logs: Sequence[FloatArray]) -> FloatArray:
    """Standard error (N) of a log-prediction from those (N each) of K models, one for each fold.

    Each model was learned without its fold: sqrt((K - 1) / K * sum (log_k - mean)^2), the
    delete-a-group jackknife (Kott 2001). Linear prices that few networks have settled, as far from
    the measured ones, differ most between the folds.
    """
    found = np.stack(logs)
    count = len(found)
    apart = ((found - found.mean(axis=0)) ** 2).sum(axis=0)
    return np.asarray(np.sqrt(apart * (count - 1) / count))


def relative_width(half_width: float, error: FloatArray) -> FloatArray:
    """Width over mean (N) of an interval that is wider where the standard error is larger.

    ``half_width``: of the calibrated interval, on the log scale, the same everywhere; the errors
    add to it in squares. Never narrower than the calibrated one.
    """
    half = np.hypot(half_width, _NORMAL_95 * error)
    return np.asarray(2 * np.sinh(half))
