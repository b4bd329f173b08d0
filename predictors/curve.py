"""What further measurements would buy: the error against the number of networks learned from."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from fleetfit.errors import InputError
from fleetfit.query import Target, Workload
from predictors.conformal import folds_of
from predictors.metric import CostMetric
from predictors.model import FOLDS, SEED, Rows, fit_parts, inputs_of
from predictors.prediction import BoolArray, FloatArray
from predictors.report import Report, errors_of

__all__ = ["LEAST_NETWORKS", "SHARES", "LearningCurve", "curve_of", "fit_law"]

SHARES: Final = (0.4, 0.6, 0.8)
"""Of the networks that are learned from, beside all of them."""
LEAST_NETWORKS: Final = 12
"""Shares of fewer are left out: with fewer networks than prices the error follows no such law.

With fewer than 15 in all the curve has one point, and what more would buy is not known."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LearningCurve:
    """error(n)^2 = floor^2 + slope / n, for the error with n networks of one (target, workload).

    The squared error of a regression falls as 1/n to what its form can reach (Cortes et al. 1994,
    Learning curves: asymptotic values and rate of convergence, with their exponent for squares).
    """

    metric: CostMetric
    target: Target
    workload: Workload
    networks: tuple[int, ...]
    """Ascending; the last is the number there is."""
    errors: tuple[float, ...]
    """Cross-validated MAPE with so many; the last is the report's."""
    floor: float | None
    """What no number of networks goes below, by the fit; None: not known, of one size alone."""
    slope: float | None
    """None: not known, as the floor."""
    noise: float | None
    """Of the measurements; None: not known."""

    def __post_init__(self) -> None:
        """As many errors as numbers of networks, at least one; nothing is negative."""
        if len(self.networks) != len(self.errors) or not self.errors:
            raise InputError(
                "A learning curve must have an error for each number of networks, but got "
                f"{len(self.errors)} for {len(self.networks)}."
            )
        if (self.floor is None) != (self.slope is None):
            raise InputError(
                "A learning curve must know both floor and slope or neither, but got "
                f"{self.floor} and {self.slope}."
            )
        if min(*self.networks, *self.errors, self.floor or 0, self.slope or 0) < 0:
            raise InputError("A learning curve must have no negative numbers, but one is.")

    @property
    def is_known(self) -> bool:
        """Whether there were networks enough to tell what more would buy."""
        return self.slope is not None

    @property
    def error(self) -> float:
        """The error now."""
        return self.errors[-1]

    def error_with(self, networks: int) -> float:
        """The error to expect with so many: the error now, scaled as the fit falls.

        With more than there are never above the error now, and never below the noise unless the
        error is there already. Raises InputError where the curve is not known.
        """
        if networks < 1:
            raise InputError(f"`networks >= 1` must hold, but got {networks}.")
        now = self._fitted(self.networks[-1])
        expected = self.error * (self._fitted(networks) / now if now > 0 else 1.0)
        return max(expected, min(self.error, self._least))

    def networks_for(self, error: float) -> int | None:
        """How many would do for ``error``; None where no number does, by the fit or the noise.

        Raises InputError where the curve is not known and ``error`` is not there already.
        """
        if error >= self.error:
            return self.networks[-1]
        now = self._fitted(self.networks[-1])
        floor, slope = self._law()
        room = (error / self.error * now) ** 2 - floor**2
        if room <= 0 or error < min(self.error, self._least):
            return None
        return max(self.networks[-1] + 1, math.ceil(slope / room))

    @property
    def _least(self) -> float:
        """What noise alone leaves: the mean of |x| is sqrt(2 / pi) of a normal x's deviation."""
        return math.sqrt(2 / math.pi) * (self.noise or 0.0)

    def _fitted(self, networks: int) -> float:
        floor, slope = self._law()
        return math.sqrt(floor**2 + slope / networks)

    def _law(self) -> tuple[float, float]:
        if self.floor is None or self.slope is None:
            raise InputError(
                "A learning curve must have two sizes to tell what more networks buy, but has "
                f"{len(self.networks)}; profile more."
            )
        return self.floor, self.slope


def curve_of(rows: Rows, report: Report, *, folds: int = FOLDS) -> LearningCurve:
    """The curve of the model of ``report``, which was learned from ``rows``.

    Every model of the cross-validation is learned again from SHARES of its networks, each part
    within the next, and tested on the same fold.
    """
    key = (report.target, report.workload)
    inputs = inputs_of(rows, key, metric=report.metric)
    total = len(np.unique(rows.groups))
    shares = [share for share in SHARES if round(share * total) >= LEAST_NETWORKS]
    predicted = np.empty((len(shares), len(rows.y)))
    rng = np.random.default_rng(SEED)
    for held in folds_of(rows.groups, count=folds, seed=SEED):
        order = rng.permutation(np.unique(rows.groups[~held]))
        for at, share in enumerate(shares):
            part = order[: round(share * len(order))]
            chosen: BoolArray = ~held & np.isin(rows.groups, part)
            roofline, residual = fit_parts(inputs, chosen)
            ratio = residual.log_ratio(inputs.shapes[held])
            predicted[at, held] = roofline.cost(inputs.amounts[held]) * np.exp(ratio)
    tested = np.isfinite(rows.noise)
    y = rows.y[tested]
    networks = (*(round(share * total) for share in shares), total)
    errors = (*(errors_of(p[tested], y).mape for p in predicted), report.errors.mape)
    law = fit_law(np.array(networks, dtype=np.float64), np.array(errors))
    floor, slope = law or (None, None)
    return LearningCurve(
        metric=report.metric,
        target=report.target,
        workload=report.workload,
        networks=networks,
        errors=errors,
        floor=floor,
        slope=slope,
        noise=report.noise,
    )


def fit_law(networks: FloatArray, errors: FloatArray) -> tuple[float, float] | None:
    """(floor, slope), neither below 0, by least squares of the relative error of the squares.

    None of a single point, which says nothing of the slope.
    """
    from scipy.optimize import nnls

    if len(errors) == 1:
        return None
    squares = np.maximum(errors, 1e-12) ** 2
    columns = np.stack([np.ones(len(errors)), 1 / networks], axis=1) / squares[:, None]
    (floor, slope), _ = nnls(columns, np.ones(len(errors)))
    return math.sqrt(floor), float(slope)
