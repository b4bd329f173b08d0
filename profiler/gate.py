"""The gate of a survey: is the machine as fast as it was? Never a divisor."""

from __future__ import annotations

from collections import defaultdict, deque
from typing import Final

import numpy as np

from fleetfit import Target
from profiler.bench import Bench

__all__ = ["Gate"]

_REMEMBERED: Final = 31
_FIRST_READINGS: Final = 3


class Gate:
    """Readings of the reference network of each target against their running median."""

    def __init__(self, bench: Bench, *, limit: float) -> None:
        """``limit``: relative deviation from the median above which a stretch is disturbed."""
        self._bench, self._limit = bench, limit
        self._readings: dict[str, deque[float]] = defaultdict(lambda: deque(maxlen=_REMEMBERED))

    def start(self, targets: list[Target]) -> None:
        """Take the first readings of each target."""
        for _ in range(_FIRST_READINGS):
            for target in targets:
                self._readings[target.id].append(self._bench.reference(target))

    def is_calm(self, target: Target) -> bool:
        """Read the reference; False where it is off, and still off when read once more."""
        readings = self._readings[target.id]
        median = float(np.median(readings))
        for _ in range(2):
            reading = self._bench.reference(target)
            # Every reading is remembered: after a lasting change the median follows.
            readings.append(reading)
            if abs(reading / median - 1) <= self._limit:
                return True
        return False

    def latest_s(self, target: Target) -> float:
        """The last reading, seconds."""
        return self._readings[target.id][-1]
