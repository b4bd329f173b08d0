"""The few statistics of this project, each with one stated definition."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

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
    per_process = np.stack([_drawn(p, share, draws, rng) for p in processes])
    chosen = rng.integers(len(processes), size=(draws, len(processes)))
    medians = np.median(per_process[chosen, np.arange(draws)[:, None]], axis=1)
    low, high = np.quantile(medians, [0.025, 0.975])
    return float(low), float(high)


def _drawn(
    samples: Sequence[float], share: float, draws: int, rng: np.random.Generator
) -> npt.NDArray[np.float64]:
    """Percentiles (draws) of as many resamples, without drawing a single one of them.

    The samples of a resample are ``sorted[floor(n * U)]`` with uniform U, and the r-th smallest of
    n uniforms is Beta(r, n - r + 1) (David & Nagaraja, Order Statistics, 2003, section 2.3).
    """
    count = len(samples)
    rank = _rank(count, share)
    index = (count * rng.beta(rank + 1, count - rank, size=draws)).astype(np.int64)
    return np.sort(np.asarray(samples, dtype=np.float64))[np.minimum(index, count - 1)]


def relative_noise(processes: Sequence[Sequence[float]], share: float = 0.5) -> float:
    """Standard error of the mean of the processes' percentiles over that mean; 0 for one."""
    _check_processes(processes)
    found = [percentile(p, share) for p in processes]
    if len(found) < 2:
        return 0.0
    return float(np.std(found, ddof=1) / math.sqrt(len(found)) / np.mean(found))
