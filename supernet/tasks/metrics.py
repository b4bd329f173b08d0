"""Metrics of classes and numbers, by scikit-learn and scipy."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

__all__ = ["CLASS_METRICS", "NUMBER_METRICS", "ClassMetric", "NumberMetric"]

ClassMetric = Literal["accuracy", "f1", "matthews"]
NumberMetric = Literal["pearson", "spearman"]
Classes = npt.NDArray[np.int64]
Numbers = npt.NDArray[np.float64]


def _accuracy(wanted: Classes, found: Classes) -> float:
    from sklearn.metrics import accuracy_score

    return float(accuracy_score(wanted, found))


def _f1(wanted: Classes, found: Classes) -> float:
    """Of the second of two classes; 0 where it is neither wanted nor found."""
    from sklearn.metrics import f1_score

    return float(f1_score(wanted, found, pos_label=1, zero_division=0.0))


def _matthews(wanted: Classes, found: Classes) -> float:
    """0 where one side is constant."""
    from sklearn.metrics import matthews_corrcoef

    if np.ptp(wanted) == 0 or np.ptp(found) == 0:
        return 0.0
    return float(matthews_corrcoef(wanted, found))


def _pearson(wanted: Numbers, found: Numbers) -> float:
    from scipy.stats import pearsonr

    return _correlation(pearsonr, wanted, found)


def _spearman(wanted: Numbers, found: Numbers) -> float:
    from scipy.stats import spearmanr

    return _correlation(spearmanr, wanted, found)


def _correlation(formula: Callable[..., Any], wanted: Numbers, found: Numbers) -> float:
    """0 where one side is constant: there the correlation has no value."""
    if len(wanted) < 2 or np.ptp(wanted) == 0 or np.ptp(found) == 0:
        return 0.0
    with warnings.catch_warnings():
        # "nearly constant" is what a network gives before it has learned anything
        warnings.simplefilter("ignore")
        value = float(formula(wanted, found).statistic)
    return value if np.isfinite(value) else 0.0


CLASS_METRICS: dict[ClassMetric, Callable[[Classes, Classes], float]] = {
    "accuracy": _accuracy,
    "f1": _f1,
    "matthews": _matthews,
}
"""Name to formula of (wanted, found)."""
NUMBER_METRICS: dict[NumberMetric, Callable[[Numbers, Numbers], float]] = {
    "pearson": _pearson,
    "spearman": _spearman,
}
"""Name to formula of (wanted, found)."""
