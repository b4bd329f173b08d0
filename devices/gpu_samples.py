"""What the samples of a GPU say together."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["GpuSample", "energy_of", "highest", "mean_clock", "median_clock"]


@dataclass(frozen=True, kw_only=True, slots=True)
class GpuSample:
    """A GPU at one moment; what it does not give is None."""

    at_s: float
    """Of ``time.monotonic``."""
    sm_clock_hz: float | None = None
    throttle: frozenset[str] = frozenset()
    power_w: float | None = None
    temperature_c: float | None = None
    process_bytes: int | None = None
    """Device memory of the process that is watched."""
    used_bytes: int | None = None
    """Device memory in use by whomever."""


def mean_clock(samples: Sequence[GpuSample], begin_s: float, end_s: float) -> float | None:
    """In a stretch, hertz; of a stretch between two samples that of its neighbours."""
    told = [s for s in samples if s.sm_clock_hz is not None]
    inside = [s for s in told if begin_s <= s.at_s <= end_s]
    if not inside:
        before = [s for s in told if s.at_s < begin_s]
        after = [s for s in told if s.at_s > end_s]
        inside = [*before[-1:], *after[:1]]
    clocks = _clocks(inside)
    return statistics.fmean(clocks) if clocks else None


def median_clock(samples: Sequence[GpuSample]) -> float | None:
    """Hertz."""
    clocks = _clocks(samples)
    return statistics.median(clocks) if clocks else None


def highest(values: Sequence[float | None]) -> float | None:
    """The largest that is known."""
    return max((v for v in values if v is not None), default=None)


def energy_of(samples: Sequence[GpuSample]) -> float | None:
    """Joules between the first and the last sample, power taken as straight between samples."""
    known = [(s.at_s, s.power_w) for s in samples if s.power_w is not None]
    if len(known) < 2:
        return None
    return sum((b[0] - a[0]) * (a[1] + b[1]) / 2 for a, b in itertools.pairwise(known))


def _clocks(samples: Sequence[GpuSample]) -> list[float]:
    return [s.sm_clock_hz for s in samples if s.sm_clock_hz is not None]
