"""Waiting until nothing else uses the machine, for a bounded time."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from devices import HealthMeter
from fleetfit import Health
from profiler.protocol import DisturbanceLimits

__all__ = ["Calm", "machine_cores"]

Note = Callable[[str], None]
_PAUSE_S = 1.0


def machine_cores() -> int:
    """Cores of the whole machine: what the counters of other load are of, whatever may be used."""
    return os.cpu_count() or 1


class Calm:
    """Looks at the machine between measurements; in all it waits no longer than allowed."""

    def __init__(
        self, limits: DisturbanceLimits, *, cores: int, look_s: float, wait_s: float
    ) -> None:
        """``look_s``: length of one look; ``wait_s``: what may be waited in all."""
        self._limits, self._cores, self._look_s = limits, cores, look_s
        self._left_s = wait_s

    def wait(self, note: Note, *, at_most_s: float = float("inf")) -> bool:
        """Return once the machine is calm (True) or the waiting time is used up (False).

        The caller's own children must be idle. ``note`` is told what is waited for.
        """
        until_s = min(self._left_s, at_most_s)
        while True:
            found = self._look()
            if self._limits.allow(found, self._cores):
                return True
            if until_s <= 0:
                return False
            note(f"waiting for calm: {_cause(found)}")
            pause = min(_PAUSE_S, until_s)
            time.sleep(pause)
            until_s -= pause + self._look_s
            self._left_s -= pause + self._look_s

    def _look(self) -> Health:
        meter = HealthMeter()
        time.sleep(self._look_s)
        return meter.read()


def _cause(health: Health) -> str:
    return (
        f"other processes use {health.other_load or 0:.1f} cores, "
        f"the hypervisor takes {health.steal or 0:.0%}"
    )
