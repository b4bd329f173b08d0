"""Intervals from errors on rows that were not learned from."""

from __future__ import annotations

import math

import numpy as np

from fleetfit.table import IntArray
from predictors.prediction import BoolArray, FloatArray

__all__ = ["conformal_quantile", "covered", "folds_of"]


def folds_of(groups: IntArray, *, count: int, seed: int) -> list[BoolArray]:
    """Held-out masks (each N) of at most ``count`` random folds; rows of a group stay together."""
    names = np.unique(groups)
    shuffled = np.random.default_rng(seed).permutation(names)
    count = max(2, min(count, len(names)))
    return [np.isin(groups, shuffled[k::count]) for k in range(count)]


def conformal_quantile(scores: FloatArray, share: float) -> float:
    """The ``ceil((n + 1) * share)``-th smallest score, the greatest where that exceeds n.

    With scores of rows not learned from, an interval of this half-width covers a new row with
    probability ``share`` (Vovk et al., Algorithmic Learning in a Random World, 2005; for folds:
    Barber et al., Predictive inference with the jackknife+, 2021).
    """
    rank = math.ceil((len(scores) + 1) * share - 1e-9)
    return float(np.sort(scores)[min(rank, len(scores)) - 1])


def covered(scores: FloatArray, share: float) -> float:
    """Share of rows within the quantile of all other rows; needs two rows."""
    inside = [s <= conformal_quantile(np.delete(scores, i), share) for i, s in enumerate(scores)]
    return float(np.mean(inside))
