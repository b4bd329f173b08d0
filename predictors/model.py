"""The cost of one target under one workload: roofline, correction and interval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fleetfit.architecture import Architecture
from fleetfit.errors import InputError
from fleetfit.query import Target, Workload
from fleetfit.table import IntArray, LayerTable
from predictors.committee import jackknife_error, relative_width
from predictors.conformal import conformal_quantile, covered, folds_of
from predictors.features import shape_features, terms
from predictors.metric import CostMetric
from predictors.prediction import BoolArray, FloatArray, Prediction
from predictors.report import Report, errors_of
from predictors.residual import Residual, fit_residual
from predictors.roofline import Roofline, fit_roofline

__all__ = [
    "COVERAGE",
    "FOLDS",
    "SEED",
    "CostModel",
    "Inputs",
    "Rows",
    "fit_model",
    "fit_parts",
    "inputs_of",
]

COVERAGE = 0.9
"""Share of measurements that an interval shall cover."""
FOLDS = 10
"""Of the cross-validation that gives the interval and the report."""
SEED = 0
"""Of the folds."""
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

    @classmethod
    def of(cls, architectures: Sequence[Architecture], y: FloatArray, noise: FloatArray) -> Rows:
        """N networks with their values and noise; networks of equal cost are one group."""
        _, groups = np.unique([a.cost_id for a in architectures], return_inverse=True)
        table = LayerTable.of(architectures)
        return cls(table=table, y=y, noise=noise, groups=groups.astype(np.int64))

    @property
    def tested(self) -> int:
        """Number of networks that can be tested on."""
        return len(np.unique(self.groups[np.isfinite(self.noise)]))

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
    committee: tuple[tuple[Roofline, Residual], ...] = ()
    """The models of the cross-validation, each learned without its fold; not kept on disk."""

    def predict(self, table: LayerTable) -> Prediction:
        """Costs of the networks of a table, with intervals that are constant on the log scale."""
        mean = _cost(self, table)[1]
        factor = float(np.exp(self.report.half_width))
        return Prediction(mean=mean, lower=mean / factor, upper=mean * factor)

    def linear(self, table: LayerTable) -> FloatArray:
        """Costs (N) by the roofline alone."""
        return _cost(self, table)[0]

    def width(self, table: LayerTable) -> FloatArray:
        """Relative widths (N) of intervals that are wider where the committee disagrees.

        Of use to choose what to measure next; those of ``predict`` are calibrated. InputError for
        a model read from disk.
        """
        if not self.committee:
            raise InputError(
                "Widths must come from a predictor that was just learned, but this one was read "
                "from a file; learn again."
            )
        amounts = terms(table, self.target, self.workload, metric=self.metric)
        shapes = shape_features(table)
        logs = [np.log(line.cost(amounts)) + r.log_ratio(shapes) for line, r in self.committee]
        return relative_width(self.report.half_width, jackknife_error(logs))


def _cost(model: CostModel, table: LayerTable) -> tuple[FloatArray, FloatArray]:
    line = model.roofline.cost(terms(table, model.target, model.workload, metric=model.metric))
    if model.residual.rounds == 0:
        return line, line
    return line, line * np.exp(model.residual.log_ratio(shape_features(table)))


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """Arrays that are computed once for all folds."""

    amounts: FloatArray
    shapes: FloatArray
    y: FloatArray
    weights: FloatArray


def inputs_of(rows: Rows, key: tuple[Target, Workload], *, metric: CostMetric) -> Inputs:
    """What the models of ``rows`` are learned from."""
    return Inputs(
        amounts=terms(rows.table, *key, metric=metric),
        shapes=shape_features(rows.table),
        y=rows.y,
        weights=rows.weights,
    )


def fit_model(
    rows: Rows, key: tuple[Target, Workload], *, metric: CostMetric, folds: int = FOLDS
) -> CostModel:
    """Learn from all rows; the interval and the report come from a cross-validation over them."""
    target, workload = key
    inputs = inputs_of(rows, key, metric=metric)
    line, full = np.empty_like(rows.y), np.empty_like(rows.y)
    committee = []
    for held in folds_of(rows.groups, count=folds, seed=SEED):
        roofline, residual = fit_parts(inputs, ~held)
        line[held] = roofline.cost(inputs.amounts[held])
        full[held] = line[held] * np.exp(residual.log_ratio(inputs.shapes[held]))
        committee.append((roofline, residual))
    roofline, residual = fit_parts(inputs, np.ones(len(rows.y), dtype=bool))
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
        committee=tuple(committee),
    )


def fit_parts(inputs: Inputs, chosen: BoolArray) -> tuple[Roofline, Residual]:
    """Roofline and correction learned from the ``chosen`` rows (N)."""
    amounts, y = inputs.amounts[chosen], inputs.y[chosen]
    shapes, weights = inputs.shapes[chosen], inputs.weights[chosen]
    roofline = fit_roofline(amounts, y, weights)
    ratio = np.log(y / roofline.cost(amounts))
    return roofline, fit_residual(shapes, ratio, weights)
