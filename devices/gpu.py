"""A GPU beside a run: clock, throttling, power, temperature, energy, memory."""

from __future__ import annotations

from abc import ABC, abstractmethod

from fleetfit import GpuUse

__all__ = ["FakeGpuMeter", "GpuMeter", "NoGpuMeter"]


class GpuMeter(ABC):
    """Watches one GPU beside a run, from a thread of its own; used once.

    Made before the process first uses the GPU, so that what memory was in use before is known.
    Nothing is ever raised for what a driver does not give.
    """

    @abstractmethod
    def start(self) -> None:
        """Begin to watch."""

    @abstractmethod
    def clock_share(self, begin_s: float, end_s: float) -> float | None:
        """Mean clock of the multiprocessors in a stretch of the run, over the default clock.

        Times are of ``time.monotonic``. None where it is not known; below 0.75 the stretch counts
        as disturbed. May be asked during the run and after it.
        """

    @abstractmethod
    def stop(self, inferences: int) -> GpuUse | None:
        """End it, in whichever state it is; what was seen, None without a GPU.

        Energy is divided by ``inferences``, the runs since ``start``; none for 0.
        """


class NoGpuMeter(GpuMeter):
    """For runs without a GPU."""

    def start(self) -> None:
        """Nothing."""

    def clock_share(self, begin_s: float, end_s: float) -> float | None:
        """None."""
        return None

    def stop(self, inferences: int) -> GpuUse | None:
        """None."""
        return None


class FakeGpuMeter(GpuMeter):
    """For tests: says what it was made with; ``began`` and ``runs`` tell how it was used."""

    def __init__(self, use: GpuUse, *, share: float | None = 1.0) -> None:
        """``share``: of every stretch."""
        self._use, self._share = use, share
        self.began = False
        self.runs: int | None = None

    def start(self) -> None:
        """Noted."""
        self.began = True

    def clock_share(self, begin_s: float, end_s: float) -> float | None:
        """The given one, once it has begun."""
        return self._share if self.began else None

    def stop(self, inferences: int) -> GpuUse | None:
        """The given one."""
        self.runs = inferences
        return self._use
