"""What one fresh process of a verification gave, and whether the machine disturbed it."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np

from fleetfit import GpuUse, Health, InputError, Window
from fleetfit.statistics import percentile
from profiler.protocol import DisturbanceLimits

__all__ = ["Process", "tagged"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Process:
    """Samples in order, and the windows that they fall into."""

    samples_s: tuple[float, ...]
    windows: tuple[Window, ...]
    settled: bool
    """The runs settled during warm-up, before its cap."""
    steady: bool
    """Every rule for stopping held, before the cap of sampling."""
    import_s: float
    load_s: float
    first_run_s: float
    health: Health
    properties: dict[str, str]
    """Options read back from the loaded session."""
    device_samples_s: tuple[float, ...] = ()
    """Of the same runs by the clock of a device beside the processor."""
    gpu: GpuUse | None = None

    def __post_init__(self) -> None:
        """Every sample is a positive time and belongs to a window."""
        if not self.samples_s or any(not 0 < s < float("inf") for s in self.samples_s):
            raise InputError("A process must have samples, each positive finite seconds.")
        if sum(w.samples for w in self.windows) != len(self.samples_s):
            raise InputError("The windows of a process must hold its samples, but do not.")
        if len(self.device_samples_s) not in (0, len(self.samples_s)):
            raise InputError("A device must time every run of a process or none, but did not.")

    @property
    def latency_s(self) -> float:
        """Median of the samples."""
        return percentile(self.samples_s, 0.5)

    @property
    def reference_s(self) -> float | None:
        """Median of the reference readings; None where there is none."""
        found = [w.reference_s for w in self.windows if w.reference_s is not None]
        return float(np.median(found)) if found else None

    def disturbed(self, limits: DisturbanceLimits) -> bool:
        """Whether more of the (tagged) windows are disturbed than the limits allow."""
        return sum(bool(w.tags) for w in self.windows) > limits.windows * len(self.windows)


def tagged(
    process: Process, limits: DisturbanceLimits, *, cores: int, usual_s: float | None
) -> Process:
    """``process`` with the causes of disturbance on its windows.

    ``usual_s``: usual latency of the reference network on this machine; None: not known yet.
    """
    counts = [w.switches for w in process.windows if w.switches is not None]
    switches = 2 * float(np.median(counts)) + limits.switches if counts else None
    windows = tuple(
        dataclasses.replace(w, tags=_tags(w, limits, cores, switches, usual_s))
        for w in process.windows
    )
    return dataclasses.replace(process, windows=windows)


def _tags(
    window: Window,
    limits: DisturbanceLimits,
    cores: int,
    switches: float | None,
    usual_s: float | None,
) -> tuple[str, ...]:
    reference = None
    if window.reference_s is not None and usual_s is not None:
        reference = abs(window.reference_s / usual_s - 1)
    slow = None if window.clock_share is None else 1 / window.clock_share
    above = {
        "clock": (slow, 1 / limits.clock_share),
        "other load": (window.other_load, limits.other_cores(cores)),
        "reference": (reference, limits.reference),
        "steal": (window.steal, limits.steal),
        "switches": (window.switches, switches),
        "waiting": (window.waiting, limits.waiting),
    }
    return tuple(
        name
        for name, (found, limit) in above.items()
        if found is not None and limit is not None and found > limit
    )
