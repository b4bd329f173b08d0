"""The cost of one target under one workload: roofline, correction and interval."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fleetfit.query import Target, Workload
from fleetfit.table import IntArray, LayerTable
from predictors.conformal import conformal_quantile, covered, folds_of
from predictors.features import shape_features, terms
from predictors.metric import CostMetric
from predictors.prediction import BoolArray, FloatArray, Prediction
from predictors.report import Report, errors_of
from predictors.residual import Residual, fit_residual
from predictors.roofline import Roofline, fit_roofline

__all__ = ["COVERAGE", "FOLDS", "CostModel", "Rows", "fit_model"]

COVERAGE = 0.9
"""Share of measurements that an interval shall cover."""
FOLDS = 10
"""Of the cross-validation that gives the interval and the report."""
_SEED = 0
_MODEL_ERROR = 0.02
"""What a model misses even without noise: below this, noise hardly changes a row's weight."""
_MOST_NOISE = 0.2


@dataclass(frozen=True, kw_only=True)
class Rows:
    """N measured networks of one (target, workload)."""

    table: LayerTable
    y: FloatArray
    """N; seconds or bytes."""
    noise: FloatArray
    """N; relative standard error, infinite for rows that are not tested on."""
    groups: IntArray
    """N; rows with one number are of one network and stay in one fold."""

    @property
    def weights(self) -> FloatArray:
        """N; inverse variance of the relative error to expect."""
        noise = np.minimum(self.noise, _MOST_NOISE)
        return np.asarray(1 / (_MODEL_ERROR**2 + noise**2), dtype=np.float64)


@dataclass(frozen=True, kw_only=True)
class CostModel:
    """A fitted cost of one metric, target and workload."""

    metric: CostMetric
    target: Target
    workload: Workload
    roofline: Roofline
    residual: Residual
    report: Report

    def predict(self, table: LayerTable) -> Prediction:
        """Costs of the networks of a table, with intervals that are constant on the log scale."""
        mean = _cost(self, table)[1]
        factor = float(np.exp(self.report.half_width))
        return Prediction(mean=mean, lower=mean / factor, upper=mean * factor)

    def linear(self, table: LayerTable) -> FloatArray:
        """Costs (N) by the roofline alone."""
        return _cost(self, table)[0]


def _cost(model: CostModel, table: LayerTable) -> tuple[FloatArray, FloatArray]:
    line = model.roofline.cost(terms(table, model.target, model.workload, metric=model.metric))
    if model.residual.rounds == 0:
        return line, line
    return line, line * np.exp(model.residual.log_ratio(shape_features(table)))


@dataclass(frozen=True, kw_only=True)
class _Inputs:
    """Arrays that are computed once for all folds."""

    amounts: FloatArray
    shapes: FloatArray
    y: FloatArray
    weights: FloatArray


def fit_model(
    rows: Rows, key: tuple[Target, Workload], *, metric: CostMetric, folds: int = FOLDS
) -> CostModel:
    """Learn from all rows; the interval and the report come from a cross-validation over them."""
    target, workload = key
    inputs = _Inputs(
        amounts=terms(rows.table, target, workload, metric=metric),
        shapes=shape_features(rows.table),
        y=rows.y,
        weights=rows.weights,
    )
    line, full = np.empty_like(rows.y), np.empty_like(rows.y)
    for held in folds_of(rows.groups, count=folds, seed=_SEED):
        roofline, residual = _fit(inputs, ~held)
        line[held] = roofline.cost(inputs.amounts[held])
        full[held] = line[held] * np.exp(residual.log_ratio(inputs.shapes[held]))
    roofline, residual = _fit(inputs, np.ones(len(rows.y), dtype=bool))
    tested = np.isfinite(rows.noise)
    y = rows.y[tested]
    scores = np.abs(np.log(y / full[tested]))
    report = Report(
        metric=metric,
        target=target,
        workload=workload,
        method="cross-validation",
        learned=len(rows.y),
        tested=len(y),
        errors=errors_of(full[tested], y),
        linear=errors_of(line[tested], y),
        coverage=covered(scores, COVERAGE),
        half_width=conformal_quantile(scores, COVERAGE),
        noise=None if metric == "memory" else float(np.median(rows.noise[tested])),
        spread=float(y.max() / y.min()),
        rounds=residual.rounds,
    )
    return CostModel(
        metric=metric,
        target=target,
        workload=workload,
        roofline=roofline,
        residual=residual,
        report=report,
    )


def _fit(inputs: _Inputs, chosen: BoolArray) -> tuple[Roofline, Residual]:
    amounts, y = inputs.amounts[chosen], inputs.y[chosen]
    shapes, weights = inputs.shapes[chosen], inputs.weights[chosen]
    roofline = fit_roofline(amounts, y, weights)
    ratio = np.log(y / roofline.cost(amounts))
    return roofline, fit_residual(shapes, ratio, weights)
