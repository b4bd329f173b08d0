"""Costs that follow from the architecture alone: parameters, and nearly so the file size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import numpy as np
import numpy.typing as npt

from fleetfit.counts import parameters
from fleetfit.query import Query, Target, Workload
from fleetfit.table import LayerTable
from predictors.base import Predictor
from predictors.checks import checked_rows
from predictors.prediction import FloatArray, Prediction

__all__ = ["FileSize", "ParameterCount"]

_GRAPH_BYTES = (4096.0, 2048.0, 512.0)
"""Of the graph: for the network, each sub-layer, each projection."""
_MARGIN_BYTES = 8192.0


class ParameterCount(Predictor):
    """Parameters, embeddings counted; exact, equal on every target."""

    def fit(
        self, queries: Sequence[Query], y: npt.ArrayLike, *, noise: npt.ArrayLike | None = None
    ) -> Self:
        """Check the data; there is nothing to learn."""
        checked_rows(queries, y, noise)
        return self

    def predict_table(self, table: LayerTable, target: Target, workload: Workload) -> Prediction:
        """See Predictor."""
        return Prediction.exact(parameters(table))


class FileSize(Predictor):
    """Bytes of the model file: 4 for each parameter, and an estimate of the graph around them.

    Weights are stored in fp32 for every target (bf16 is a matter of execution).
    """

    def fit(
        self, queries: Sequence[Query], y: npt.ArrayLike, *, noise: npt.ArrayLike | None = None
    ) -> Self:
        """Check the data; there is nothing to learn."""
        checked_rows(queries, y, noise)
        return self

    def predict_table(self, table: LayerTable, target: Target, workload: Workload) -> Prediction:
        """See Predictor."""
        mean = 4.0 * parameters(table) + _counts(table) @ np.array(_GRAPH_BYTES)
        return Prediction(mean=mean, lower=mean - _MARGIN_BYTES, upper=mean + _MARGIN_BYTES)


def _counts(table: LayerTable) -> FloatArray:
    sublayers = (table.kind > 0).sum(axis=(1, 2))
    columns = (np.ones(len(table)), sublayers, table.projected.sum(axis=1))
    return np.stack(columns, axis=1).astype(np.float64)
