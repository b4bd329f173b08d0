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
    """Bytes of the model file: 4 for each parameter, and the graph around them.

    Weights are stored in fp32 for every target (bf16 is a matter of execution). The graph takes
    ``overhead_`` bytes (for the network, each sub-layer, each projection): an estimate until
    ``fit`` has seen sizes of written files. ``margin_`` bytes to either side make the interval.
    """

    def __init__(self) -> None:
        """Start from the estimate."""
        self.overhead_: tuple[float, ...] = (4096.0, 2048.0, 512.0)
        self.margin_ = 8192.0

    def fit(
        self, queries: Sequence[Query], y: npt.ArrayLike, *, noise: npt.ArrayLike | None = None
    ) -> Self:
        """Learn the graph's share from file sizes in bytes (N)."""
        from scipy.optimize import nnls

        values, _ = checked_rows(queries, y, noise)
        table = LayerTable.of([q.architecture for q in queries])
        rest = values - 4.0 * parameters(table)
        counts = _counts(table)
        prices, _ = nnls(counts, rest)
        self.overhead_ = tuple(float(p) for p in prices)
        self.margin_ = float(np.abs(rest - counts @ prices).max())
        return self

    def predict_table(self, table: LayerTable, target: Target, workload: Workload) -> Prediction:
        """See Predictor."""
        mean = 4.0 * parameters(table) + _counts(table) @ np.array(self.overhead_)
        return Prediction(mean=mean, lower=mean - self.margin_, upper=mean + self.margin_)


def _counts(table: LayerTable) -> FloatArray:
    sublayers = (table.kind > 0).sum(axis=(1, 2))
    columns = (np.ones(len(table)), sublayers, table.projected.sum(axis=1))
    return np.stack(columns, axis=1).astype(np.float64)
