"""Latency or memory of many targets, learned from measurements."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy.typing as npt

from fleetfit.device import DeviceInfo
from fleetfit.errors import InputError
from fleetfit.query import Query, Target, Workload
from fleetfit.table import LayerTable
from predictors.base import Predictor, grouped
from predictors.checks import checked_rows
from predictors.metric import CostMetric
from predictors.model import FOLDS, CostModel, Rows, fit_model
from predictors.prediction import FloatArray, Prediction
from predictors.provenance import Provenance
from predictors.report import Report
from predictors.storage import Stored, read_stored, write_stored

__all__ = ["LEAST_ROWS", "CostPredictor"]

LEAST_ROWS = 8
"""Networks per target and workload below which nothing is learned."""


class CostPredictor(Predictor):
    """One roofline, correction and interval for each (target, workload) it was fitted on.

    After ``fit``: ``models_``, (target, workload) to CostModel; ``dropped_``, (target, workload)
    to a sentence for each pair that was measured too little and left out.
    """

    def __init__(
        self,
        *,
        metric: CostMetric,
        provenance: Provenance | None = None,
        folds: int = FOLDS,
    ) -> None:
        """Store the settings; nothing is learned yet."""
        self.metric = metric
        self.provenance = provenance or Provenance()
        self.folds = folds
        self.models_: dict[tuple[Target, Workload], CostModel] = {}
        self.dropped_: dict[tuple[Target, Workload], str] = {}

    def fit(
        self, queries: Sequence[Query], y: npt.ArrayLike, *, noise: npt.ArrayLike | None = None
    ) -> Self:
        """See Predictor.

        A (target, workload) needs LEAST_ROWS different networks to test on; InputError where none
        has them.
        """
        values, noises = checked_rows(queries, y, noise)
        models: dict[tuple[Target, Workload], CostModel] = {}
        few: dict[tuple[Target, Workload], int] = {}
        for key, chosen in grouped(queries).items():
            architectures = [queries[i].architecture for i in chosen]
            rows = Rows.of(architectures, values[chosen], noises[chosen])
            if rows.tested < LEAST_ROWS:
                few[key] = rows.tested
                continue
            models[key] = fit_model(rows, key, metric=self.metric, folds=self.folds)
        if not models:
            most = max(few, key=lambda key: few[key])
            raise InputError(self._too_few(most, few[most], of=len(few)))
        self.models_ = models
        self.dropped_ = {key: self._too_few(key, tested) for key, tested in few.items()}
        return self

    def _too_few(self, key: tuple[Target, Workload], tested: int, *, of: int = 1) -> str:
        most = f", the most of {of} targets and workloads" if of > 1 else ""
        return (
            f"At least {LEAST_ROWS} networks with a stable {self.metric} must be measured on "
            f"{key[0]} ({key[1]}), but got {tested}{most}; profile more."
        )

    def predict_table(self, table: LayerTable, target: Target, workload: Workload) -> Prediction:
        """See Predictor."""
        return self._model(target, workload).predict(table)

    def linear_table(self, table: LayerTable, target: Target, workload: Workload) -> FloatArray:
        """Costs (N) by the roofline alone, without trees."""
        return self._model(target, workload).linear(table)

    def width_table(self, table: LayerTable, target: Target, workload: Workload) -> FloatArray:
        """Relative widths (N) of intervals that are wider where little was measured nearby.

        To choose what to measure next; only after ``fit`` in this process. The intervals of
        ``predict_table`` are the calibrated ones.
        """
        return self._model(target, workload).width(table)

    @property
    def reports(self) -> tuple[Report, ...]:
        """Cross-validated errors of each target and workload."""
        return tuple(m.report for m in self.models_.values())

    def stale(self, device: DeviceInfo) -> tuple[str, ...]:
        """What has changed since the data was measured; empty where the predictor holds."""
        return self.provenance.stale(device)

    def save(self, path: Path) -> None:
        """Write the directory ``path``, which must be new or empty."""
        models = tuple(self.models_.values())
        write_stored(path, Stored(metric=self.metric, provenance=self.provenance, models=models))

    @classmethod
    def load(cls, path: Path) -> CostPredictor:
        """Read what ``save`` wrote; InputError where it is corrupt or of another version."""
        stored = read_stored(path)
        predictor = cls(metric=stored.metric, provenance=stored.provenance)
        predictor.models_ = {(m.target, m.workload): m for m in stored.models}
        return predictor

    def _model(self, target: Target, workload: Workload) -> CostModel:
        model = self.models_.get((target, workload))
        if model is not None:
            return model
        targets = [str(t) for t, w in self.models_ if w == workload]
        if targets:
            raise InputError(
                f"A target must be one that {self.metric} was learned for under {workload} "
                f"({', '.join(targets)}), but got {target}; profile it and learn again."
            )
        known = sorted((w for _, w in self.models_), key=lambda w: (w.batch, w.seq_len, w.lengths))
        workloads = dict.fromkeys(map(str, known))
        other = " (other quantiles)" if str(workload) in workloads else ""
        raise InputError(
            f"A workload must be one that {self.metric} was learned for "
            f"({'; '.join(workloads) or 'none'}), but got {workload}{other}; profile it and learn "
            "again."
        )
