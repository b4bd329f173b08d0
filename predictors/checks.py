"""Checks of training data that every predictor shares."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from fleetfit.errors import InputError
from fleetfit.query import Query
from predictors.prediction import FloatArray

__all__ = ["checked_rows"]


def checked_rows(
    queries: Sequence[Query], y: npt.ArrayLike, noise: npt.ArrayLike | None
) -> tuple[FloatArray, FloatArray]:
    """``y`` and ``noise`` (zeros where None) as arrays of N; InputError where they do not fit."""
    values = np.asarray(y, dtype=np.float64)
    noises = np.zeros(values.shape) if noise is None else np.asarray(noise, dtype=np.float64)
    if not values.shape == noises.shape == (len(queries),) or not len(queries):
        raise InputError(
            "Queries, values and noise must be equally many, at least one, but got "
            f"{len(queries)}, {values.shape} and {noises.shape}."
        )
    if not (np.isfinite(values) & (values > 0)).all():
        raise InputError("Measured values must be positive and finite, but one is not.")
    if not (noises >= 0).all():
        raise InputError("Noise must be >= 0, but one value is not.")
    return values, noises
