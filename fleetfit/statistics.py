"""The few statistics of this project, each with one stated definition."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from fleetfit.errors import InputError

__all__ = ["bootstrap_interval", "median_of_medians", "percentile", "relative_noise"]


def percentile(samples: Sequence[float], share: float) -> float:
    """Order statistic ``sorted[ceil(share * n) - 1]``; never interpolated."""
    return sorted(samples)[_rank(len(samples), share)]


def _rank(count: int, share: float) -> int:
    """Index of the order statistic; 1e-9 forgives the rounding of products like 0.1 * 30."""
    if count < 1 or not 0 < share <= 1:
        raise InputError(
            f"`0 < share <= 1` and at least one sample must hold, but got {share} and {count}."
        )
    return max(1, math.ceil(share * count - 1e-9)) - 1


def _check_processes(processes: Sequence[Sequence[float]]) -> None:
    if not processes:
        raise InputError("Statistics must have at least one process, but got none.")


def median_of_medians(processes: Sequence[Sequence[float]], share: float = 0.5) -> float:
    """Median over processes of each process's percentile (seconds in, seconds out).

    For an even number of processes the mean of the two middle values.
    """
    _check_processes(processes)
    return float(np.median([percentile(p, share) for p in processes]))


def bootstrap_interval(
    processes: Sequence[Sequence[float]], *, share: float = 0.5, draws: int = 1000, seed: int = 0
) -> tuple[float, float]:
    """95 % percentile-bootstrap interval of ``median_of_medians``.

    Two stages: processes are drawn with replacement, then samples within each. With few processes
    the first stage gives nearly their range, which is what drift between processes looks like.
    """
    _check_processes(processes)
    rng = np.random.default_rng(seed)
    arrays = [np.asarray(p, dtype=np.float64) for p in processes]
    per_process = np.empty((len(arrays), draws))
    for row, values in zip(per_process, arrays, strict=True):
        rank = _rank(len(values), share)
        drawn = rng.choice(values, size=(draws, len(values)))
        row[:] = np.partition(drawn, rank, axis=1)[:, rank]
    chosen = rng.integers(len(arrays), size=(draws, len(arrays)))
    medians = np.median(per_process[chosen, np.arange(draws)[:, None]], axis=1)
    low, high = np.quantile(medians, [0.025, 0.975])
    return float(low), float(high)


def relative_noise(processes: Sequence[Sequence[float]]) -> float:
    """Standard error of the mean of the process medians over that mean; 0 for one process."""
    _check_processes(processes)
    medians = [percentile(p, 0.5) for p in processes]
    if len(medians) < 2:
        return 0.0
    return float(np.std(medians, ddof=1) / math.sqrt(len(medians)) / np.mean(medians))
