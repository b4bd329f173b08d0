"""A non-negative linear cost model: each unit of work and data has a price."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fleetfit.errors import InputError
from predictors.prediction import FloatArray

__all__ = ["Roofline", "fit_roofline"]

_ROUNDS = 4
_HUBER = 1.5
_LEAST_SCALE = 1e-3
_FLOOR = 0.1


@dataclass(frozen=True, kw_only=True, slots=True)
class Roofline:
    """Cost = sum of terms times prices, and never below ``floor``."""

    prices: tuple[float, ...]
    """Seconds or bytes per unit of each term, >= 0; at least one above 0."""
    floor: float
    """Seconds or bytes, > 0: keeps the cost of a network without any priced term positive."""

    def __post_init__(self) -> None:
        """No price is negative, one is positive, all are finite."""
        if not all(0 <= p < float("inf") for p in self.prices) or not any(self.prices):
            raise InputError(
                "Prices of a roofline must be finite, >= 0 and not all 0, but they are not."
            )
        if not 0 < self.floor < float("inf"):
            raise InputError(f"The floor of a roofline must be above 0, but got {self.floor}.")

    def cost(self, amounts: FloatArray) -> FloatArray:
        """Costs (N) of networks with these terms (N x T)."""
        cost: FloatArray = np.maximum(amounts @ np.array(self.prices), self.floor)
        return cost


def fit_roofline(amounts: FloatArray, y: FloatArray, weights: FloatArray) -> Roofline:
    """Least squares of the relative error over non-negative prices, robust against outliers.

    amounts N x T, y N (positive), weights N. Dividing each row by its y makes the error relative.
    Rows further off than usual lose weight as 1/distance (Huber) in a few rounds: a machine that
    was busy once should not shift the prices.
    """
    from scipy.optimize import nnls

    scale = amounts.max(axis=0)
    scale[scale == 0] = 1.0
    relative = amounts / scale / y[:, None]
    row_weights = weights / weights.mean()
    prices = np.zeros(amounts.shape[1])
    for _ in range(_ROUNDS):
        root = np.sqrt(row_weights)
        prices, _ = nnls(relative * root[:, None], root)
        off = np.abs(relative @ prices - 1)
        usual = max(1.4826 * float(np.median(off)), _LEAST_SCALE)
        pull = np.minimum(1.0, _HUBER * usual / np.maximum(off, 1e-12))
        row_weights = weights / weights.mean() * pull
    floor = float(y.min()) * _FLOOR
    return Roofline(prices=tuple(float(p) for p in prices / scale), floor=floor)
