"""The contract of a predictor."""

from __future__ import annotations

import abc
from collections.abc import Sequence
from typing import Self, final

import numpy as np
import numpy.typing as npt

from fleetfit.query import Query, Target, Workload
from fleetfit.table import IntArray, LayerTable
from predictors.prediction import Prediction

__all__ = ["Predictor", "grouped"]


class Predictor(abc.ABC):
    """Cost of an architecture on a target under a workload, without running it.

    ``__init__`` stores settings; what ``fit`` learns stands in attributes that end in ``_``.
    Guarantees that the contract suite checks: ``fit`` returns the predictor itself, equal data
    and settings give equal predictions, ``predict`` keeps the order of its queries and equals
    ``predict_table`` row by row, all values are finite and ``lower <= mean <= upper``, no query
    changes anything, and networks that differ only in ``Layer.source`` cost the same.
    """

    @abc.abstractmethod
    def fit(
        self,
        queries: Sequence[Query],
        y: npt.ArrayLike,
        *,
        noise: npt.ArrayLike | None = None,
    ) -> Self:
        """Learn from N queries and their measured values ``y`` (N, positive, SI units).

        ``noise`` (N): relative standard error of each value; a noisier row weighs less, and a row
        with infinite noise is never tested on. Raises InputError for lengths that differ, values
        that are not positive and too few rows.
        """

    @abc.abstractmethod
    def predict_table(self, table: LayerTable, target: Target, workload: Workload) -> Prediction:
        """Predictions for all rows of a layer table, vectorised; the search calls this.

        Raises InputError for a target or workload that was not learned.
        """

    @final
    def predict(self, queries: Sequence[Query]) -> Prediction:
        """Predictions in the order of ``queries``, which may mix targets and workloads."""
        ends = np.empty((3, len(queries)))
        for (target, workload), rows in grouped(queries).items():
            table = LayerTable.of([queries[i].architecture for i in rows])
            answer = self.predict_table(table, target, workload)
            ends[:, rows] = answer.mean, answer.lower, answer.upper
        return Prediction(mean=ends[0], lower=ends[1], upper=ends[2])


def grouped(queries: Sequence[Query]) -> dict[tuple[Target, Workload], IntArray]:
    """Indices of the queries of each (target, workload), in order of first appearance."""
    groups: dict[tuple[Target, Workload], list[int]] = {}
    for i, query in enumerate(queries):
        groups.setdefault((query.target, query.workload), []).append(i)
    return {key: np.array(rows, dtype=np.int64) for key, rows in groups.items()}
