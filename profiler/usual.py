"""How fast the reference network usually is on this machine: what verifications are gated by."""

from __future__ import annotations

from typing import Final

import numpy as np

from fleetfit import DeviceInfo, Target, versions_of
from profiler.protocol import DisturbanceLimits
from profiler.store import Store

__all__ = ["REMEMBERED", "Usual"]

REMEMBERED: Final = 31
"""Readings of each target; after a lasting change half as many are made before it is the usual."""


class Usual:
    """Readings of earlier measurements in the store, and those of this one.

    After a lasting change of the machine the median follows as readings come in.
    """

    def __init__(self, device: DeviceInfo, limits: DisturbanceLimits, store: Store | None) -> None:
        """Without a ``store`` only the readings of this measurement are known."""
        self.device, self._limits, self._store = device, limits, store
        self._readings: dict[str, list[float]] = {}

    def add(self, target: Target, reading_s: float) -> None:
        """Note a reading, also for later measurements."""
        readings = self._of(target)
        readings.append(reading_s)
        del readings[:-REMEMBERED]
        if self._store is not None:
            versions = versions_of(target, self.device)
            self._store.add_reference(self.device.name, target.id, versions, reading_s)

    def level_s(self, target: Target) -> float | None:
        """Median of the readings, seconds; None where there are too few."""
        readings = self._of(target)
        if len(readings) < self._limits.least_references:
            return None
        return float(np.median(readings))

    def _of(self, target: Target) -> list[float]:
        if target.id not in self._readings:
            earlier: list[float] = []
            if self._store is not None:
                versions = versions_of(target, self.device)
                found = self._store.references(
                    self.device.name, target.id, versions, limit=REMEMBERED
                )
                earlier = found[::-1]
            self._readings[target.id] = earlier
        return self._readings[target.id]
