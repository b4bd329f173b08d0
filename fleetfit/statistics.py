"""The few statistics of this project, each with one stated definition."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from fleetfit.errors import InputError

__all__ = [
    "P99_SAMPLES",
    "bootstrap_interval",
    "median_of_medians",
    "outliers",
    "percentile",
    "relative_noise",
    "upper_bound",
]

P99_SAMPLES = 662
"""Fewest samples for a 99th percentile: the least n with an ``upper_bound`` of it."""
_CONFIDENCE = 0.99


def percentile(samples: Sequence[float], share: float) -> float:
    """Order statistic ``sorted[ceil(share * n) - 1]``; never interpolated."""
    return sorted(samples)[_rank(len(samples), share)]


def upper_bound(samples: Sequence[float], share: float) -> float | None:
    """Order statistic that lies above the true percentile with 99 % confidence.

    One rank above the least r with P(Binomial(n, share) < r) >= 0.99, as in the early stopping of
    MLPerf's loadgen (tolerance 0); None where there are too few samples for any: 11 for p50, 64 for
    p90, 662 for p99. It holds for independent samples; runs in a row are not quite, so read it as a
    floor.
    """
    count = len(samples)
    rank = _upper_rank(count, share)
    return None if rank is None else sorted(samples)[rank - 1]


@functools.lru_cache(maxsize=4096)
def _upper_rank(count: int, share: float) -> int | None:
    _rank(count, share)  # checks both
    if share >= 1:
        return None
    below = 0.0
    for hits in range(count - 1):
        logs = math.lgamma(count + 1) - math.lgamma(hits + 1) - math.lgamma(count - hits + 1)
        below += math.exp(logs + hits * math.log(share) + (count - hits) * math.log1p(-share))
        if below >= _CONFIDENCE:
            return hits + 2
    return None


def outliers(samples: Sequence[float]) -> tuple[int, int]:
    """(mild, severe) by Tukey's fences, 1.5 and 3 quartile ranges beyond the quartiles.

    They are counted and never removed: a slow run is no wrong one.
    """
    first, third = percentile(samples, 0.25), percentile(samples, 0.75)
    span = third - first
    beyond = [max(first - s, s - third) for s in samples]
    severe = sum(b > 3 * span for b in beyond)
    return sum(b > 1.5 * span for b in beyond) - severe, severe


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
