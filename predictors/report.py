"""How good a predictor is, on rows it has not learned from, beside what is achievable."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from fleetfit.errors import InputError
from fleetfit.query import Target, Workload
from predictors.metric import CostMetric
from predictors.prediction import FloatArray

__all__ = ["Errors", "Report", "errors_of"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Errors:
    """Three views of the error; each alone can mislead."""

    mape: float
    """Mean of |predicted - measured| / measured."""
    within_10: float
    """Share of rows with |predicted - measured| / measured <= 0.1."""
    tau: float
    """Kendall's rank correlation (tau-b); 0 where all predictions or all values are equal."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """The errors of one (target, workload)."""

    metric: CostMetric
    target: Target
    workload: Workload
    method: Literal["cross-validation", "held out"]
    learned: int
    """Rows learned from."""
    tested: int
    """Rows tested on."""
    errors: Errors
    linear: Errors
    """Of the roofline alone."""
    coverage: float
    """Share of tested rows inside their 90 % interval."""
    half_width: float
    """Half-width of the interval on the log scale: 0.05 is about 5 % to either side."""
    noise: float | None
    """Median relative standard error of the measurements over their visits; None: not known.

    It holds what all networks of a survey shared, the wandering of the machine, so errors between
    networks may be smaller."""
    spread: float
    """Greatest over smallest measured value: errors are easy to keep small where this is near 1."""
    rounds: int
    """Boosting rounds on top of the roofline; 0 where they did not help."""


def errors_of(predicted: FloatArray, measured: FloatArray) -> Errors:
    """Errors of predictions (N) of positive measured values (N)."""
    from scipy.stats import kendalltau

    if not len(measured) or predicted.shape != measured.shape:
        raise InputError(
            "Errors must be taken over equally many predictions and values, at least one, but got "
            f"{len(predicted)} and {len(measured)}."
        )
    relative = np.abs(predicted - measured) / measured
    flat = np.ptp(predicted) == 0 or np.ptp(measured) == 0
    tau = 0.0 if flat else float(kendalltau(predicted, measured).statistic)
    return Errors(mape=float(relative.mean()), within_10=float((relative <= 0.1).mean()), tau=tau)
