"""The gate of a survey: is the machine as fast as it usually is? Never a divisor."""

from __future__ import annotations

from typing import Final

from fleetfit import Target
from profiler.bench import Bench
from profiler.usual import Usual

__all__ = ["Gate"]

_FIRST_READINGS: Final = 3


class Gate:
    """Readings of the reference network of each target against their usual level."""

    def __init__(self, bench: Bench, usual: Usual, *, limit: float) -> None:
        """``limit``: relative deviation from the usual above which a stretch is disturbed."""
        self._bench, self._usual, self._limit = bench, usual, limit
        self._latest: dict[str, float] = {}

    def start(self, targets: list[Target]) -> None:
        """Take the first readings of each target: enough for a usual level."""
        for _ in range(_FIRST_READINGS):
            for target in targets:
                self._read(target)

    def is_calm(self, target: Target) -> bool:
        """Read the reference; False where it is off, and still off when read once more."""
        usual_s = self._usual.level_s(target)
        for _ in range(2):
            reading = self._read(target)
            if usual_s is None or self._is_usual(reading, usual_s):
                return True
        return False

    def wait(self, target: Target, at_most_s: float) -> None:
        """Return once the reference is as fast as usual again, or after ``at_most_s``.

        What is read meanwhile is not remembered: waiting must not make a slow minute the usual.
        """
        usual_s, end = self._usual.level_s(target), self._bench.now_s() + at_most_s
        while usual_s is not None and self._bench.now_s() < end:
            if self._is_usual(self._bench.reference(target), usual_s):
                return

    def latest_s(self, target: Target) -> float:
        """The last reading, seconds."""
        return self._latest[target.id]

    def _is_usual(self, reading_s: float, usual_s: float) -> bool:
        return abs(reading_s / usual_s - 1) <= self._limit

    def _read(self, target: Target) -> float:
        # Every reading is remembered: after a lasting change the usual level follows.
        reading = self._latest[target.id] = self._bench.reference(target)
        self._usual.add(target, reading)
        return reading
