"""What is read beside the samples of a measurement: memory by stage, windows, the GPU."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from fleetfit.codec import check_literals
from fleetfit.errors import InputError

__all__ = ["GpuUse", "MemoryReading", "MemoryStage", "Window", "calm_samples"]

MemoryStage = Literal["imports", "load", "warm", "steady"]
"""With the runtime imported; the model loaded; every input run once; after all runs."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MemoryReading:
    """Memory of one process at one stage, bytes; what the system does not give is None."""

    stage: MemoryStage
    peak_bytes: int
    """Peak resident size since the process began (VmHWM)."""
    stage_peak_bytes: int | None = None
    """Peak resident size within the stage: VmHWM set back at its beginning (clear_refs)."""
    resident_bytes: int | None = None
    """Resident now (Rss of smaps_rollup)."""
    proportional_bytes: int | None = None
    """Resident now, shared pages divided by their users (Pss)."""
    unique_bytes: int | None = None
    """Resident now and used by no other process (Private_Clean + Private_Dirty)."""

    def __post_init__(self) -> None:
        """The stage is known, the peak is there, nothing is negative."""
        check_literals(self)
        rest = (self.stage_peak_bytes, self.resident_bytes, self.proportional_bytes)
        if self.peak_bytes < 1 or any(v is not None and v < 0 for v in (*rest, self.unique_bytes)):
            raise InputError(
                f"A memory reading must have a peak of at least 1 byte and no negative size, "
                f"but got {self}."
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class Window:
    """A stretch of samples, and what else happened on the machine in it."""

    samples: int
    """How many samples of the process it holds."""
    steal: float | None = None
    """Share of processor time taken by the hypervisor."""
    other_load: float | None = None
    """Cores' worth of processor time that other processes used."""
    waiting: float | None = None
    """Share of the time in which some task of the machine waited for a processor (PSI)."""
    switches: int | None = None
    """Times the kernel took the processor away from the process (involuntary switches)."""
    reference_s: float | None = None
    """Latency of the reference network right after."""
    clock_share: float | None = None
    """Mean clock of a GPU's multiprocessors over its default clock."""
    tags: tuple[str, ...] = ()
    """Physical causes for which it counts as disturbed: steal, other load, ..."""

    def __post_init__(self) -> None:
        """There are samples."""
        if self.samples < 1:
            raise InputError(f"A window must hold samples, but got {self.samples}.")


@dataclass(frozen=True, kw_only=True, slots=True)
class GpuUse:
    """The GPU beside a run, sampled by NVML; what it does not give is None."""

    name: str
    sm_clock_hz: float | None = None
    """Median clock of the multiprocessors."""
    least_sm_clock_hz: float | None = None
    default_sm_clock_hz: float | None = None
    """Clock that the device runs applications at; a window below 75 % of it is disturbed."""
    throttle: tuple[str, ...] = ()
    """Reasons that held the clock down at any time, sorted."""
    power_w: float | None = None
    temperature_c: float | None = None
    """Highest."""
    energy_j: float | None = None
    """Per inference, idle power included."""
    memory_bytes: int | None = None
    """Device memory of the process."""
    memory_method: Literal["process", "device difference"] | None = None
    """By NVML's figure of the process, or as growth of the memory used on the whole device."""

    def __post_init__(self) -> None:
        """The method of the memory is known."""
        check_literals(self)


def calm_samples(samples_s: Sequence[float], windows: Sequence[Window]) -> tuple[float, ...]:
    """Those samples of a process that fall into windows without a tag."""
    left: list[float] = []
    at = 0
    for window in windows:
        if not window.tags:
            left += samples_s[at : at + window.samples]
        at += window.samples
    return tuple(left)
