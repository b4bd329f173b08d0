"""From measurements to a predictor, and a predictor against new measurements."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from fleetfit.errors import InputError
from fleetfit.measurement import Measurement
from fleetfit.table import LayerTable
from predictors.base import grouped
from predictors.checks import checked_rows
from predictors.cost import CostPredictor
from predictors.curve import LearningCurve, curve_of
from predictors.metric import CostMetric, noise_of, value_of
from predictors.model import FOLDS, Rows
from predictors.prediction import FloatArray
from predictors.provenance import provenance_of
from predictors.report import Report, errors_of

__all__ = ["evaluate", "learn", "learning_curves"]


def learn(
    measurements: Sequence[Measurement], metric: CostMetric, *, folds: int = FOLDS
) -> tuple[CostPredictor, tuple[Report, ...]]:
    """A predictor of ``metric`` for every (target, workload) measured, and its reports.

    Measurements without the metric are skipped; unstable ones weigh little and are not tested on.
    Raises InputError for mixed device classes, runtime versions or protocol versions, and where
    every (target, workload) has too few rows; ``dropped_`` names those that have.
    """
    rows = [m for m in measurements if value_of(m, metric) is not None]
    if not rows:
        raise InputError(
            f"Measurements must hold {metric}, but none of {len(measurements)} does; profile first."
        )
    predictor = CostPredictor(metric=metric, provenance=provenance_of(rows), folds=folds)
    y, noise = _values(rows, metric)
    predictor.fit([m.job.query for m in rows], y, noise=noise)
    return predictor, predictor.reports


def learning_curves(
    predictor: CostPredictor, measurements: Sequence[Measurement]
) -> tuple[LearningCurve, ...]:
    """What more networks would buy in each (target, workload).

    ``measurements``: those that ``predictor`` was learned from.
    """
    metric = predictor.metric
    known = [m for m in measurements if value_of(m, metric) is not None]
    queries = [m.job.query for m in known]
    y, noise = checked_rows(queries, *_values(known, metric))
    chosen = grouped(queries)
    curves = []
    for report in predictor.reports:
        at = chosen[report.target, report.workload]
        rows = Rows.of([queries[i].architecture for i in at], y[at], noise[at])
        curves.append(curve_of(rows, report, folds=predictor.folds))
    return tuple(curves)


def evaluate(predictor: CostPredictor, measurements: Sequence[Measurement]) -> tuple[Report, ...]:
    """Reports on measurements held out from learning; unstable ones are left out.

    Raises InputError where they are of several device classes, runtime or protocol versions, or of
    others than the predictor was learned from.
    """
    metric = predictor.metric
    rows = [m for m in measurements if value_of(m, metric) is not None]
    rows = [m for m in rows if noise_of(m, metric) != math.inf]
    if not rows:
        raise InputError(f"Measurements held out must hold a stable {metric}, but none does.")
    predictor.provenance.check_like(provenance_of(rows))
    learned = {(r.target, r.workload): r for r in predictor.reports}
    queries = [m.job.query for m in rows]
    y, noise = _values(rows, metric)
    reports = []
    for key, chosen in grouped(queries).items():
        table = LayerTable.of([queries[i].architecture for i in chosen])
        answer = predictor.predict_table(table, *key)
        linear = predictor.linear_table(table, *key)
        measured = y[chosen]
        reports.append(
            dataclasses.replace(
                learned[key],
                method="held out",
                tested=len(chosen),
                errors=errors_of(answer.mean, measured),
                linear=errors_of(linear, measured),
                coverage=float(((answer.lower <= measured) & (measured <= answer.upper)).mean()),
                noise=None if noise is None else float(np.median(noise[chosen])),
                spread=float(measured.max() / measured.min()),
            )
        )
    return tuple(reports)


def _values(
    rows: Sequence[Measurement], metric: CostMetric
) -> tuple[FloatArray, FloatArray | None]:
    y = np.array([value_of(m, metric) for m in rows], dtype=np.float64)
    if metric == "memory":
        return y, None
    return y, np.array([noise_of(m, metric) for m in rows], dtype=np.float64)
