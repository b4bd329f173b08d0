"""Metrics by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from supernet.tasks.metrics import CLASS_METRICS, NUMBER_METRICS, ClassMetric, NumberMetric

WANTED = np.array([1, 1, 1, 0, 0, 0, 0, 1])
FOUND = np.array([1, 1, 0, 0, 0, 1, 1, 1])
"""3 of 4 ones found, 2 wrong ones: TP 3, FN 1, FP 2, TN 2."""


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("accuracy", 5 / 8),
        ("f1", 2 * 3 / (2 * 3 + 1 + 2)),
        ("matthews", (3 * 2 - 2 * 1) / math.sqrt(5 * 4 * 4 * 3)),
    ],
)
def test_classes(name: ClassMetric, value: float) -> None:
    assert CLASS_METRICS[name](WANTED, FOUND) == pytest.approx(value)


@pytest.mark.parametrize("name", ["f1", "matthews"])
def test_classes_never_found_score_zero(name: ClassMetric) -> None:
    none = np.zeros(8, dtype=np.int64)
    assert CLASS_METRICS[name](WANTED, none) == 0
    assert CLASS_METRICS[name](none, none) == 0


@pytest.mark.parametrize(
    ("name", "value"),
    [
        # x = 1, 2, 3, 4 and y = 1, 3, 2, 10: sxy = 13, sxx = 5, syy = 50
        ("pearson", 13 / math.sqrt(5 * 50)),
        # ranks 1, 2, 3, 4 and 1, 3, 2, 4: 1 - 6 * 2 / (4 * 15)
        ("spearman", 0.8),
    ],
)
def test_numbers(name: NumberMetric, value: float) -> None:
    wanted, found = np.array([1.0, 2, 3, 4]), np.array([1.0, 3, 2, 10])
    assert NUMBER_METRICS[name](wanted, found) == pytest.approx(value)
    assert NUMBER_METRICS[name](wanted, -found) == pytest.approx(-value)


@pytest.mark.parametrize("name", NUMBER_METRICS)
@pytest.mark.parametrize("found", [[2.0, 2, 2], [2.0, 2, 2 + 1e-15]], ids=str)
def test_constant_numbers_have_no_correlation(name: NumberMetric, found: list[float]) -> None:
    value = NUMBER_METRICS[name](np.array([1.0, 2, 3]), np.array(found))
    assert -1 <= value <= 1
    if len(set(found)) == 1:
        assert value == 0
