"""A fake predictor for tests: the same answer for every network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import numpy as np
import numpy.typing as npt

from fleetfit.query import Query, Target, Workload
from fleetfit.table import LayerTable
from predictors.base import Predictor
from predictors.checks import checked_rows
from predictors.prediction import Prediction

__all__ = ["ConstantPredictor"]


class ConstantPredictor(Predictor):
    """``value_``, or the median of the data after ``fit``."""

    def __init__(self, value: float = 1.0) -> None:
        """The value until ``fit``."""
        self.value_ = value

    def fit(
        self, queries: Sequence[Query], y: npt.ArrayLike, *, noise: npt.ArrayLike | None = None
    ) -> Self:
        """Take the median of ``y``."""
        self.value_ = float(np.median(checked_rows(queries, y, noise)[0]))
        return self

    def predict_table(self, table: LayerTable, target: Target, workload: Workload) -> Prediction:
        """See Predictor."""
        return Prediction.exact(np.full(len(table), self.value_))
