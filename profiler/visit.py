"""One visit of a configuration during a survey, and what memory children and stores say of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from fleetfit import Health, InputError, MemoryReading
from fleetfit.statistics import percentile

__all__ = ["MemoryUse", "Verdict", "Visit"]

Verdict = Literal["pending", "good", "disturbed"]
"""pending: the reference has not been timed again since."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Visit:
    """What one visit gave."""

    samples_s: tuple[float, ...]
    load_s: float
    """At this visit or an earlier one, from which the network stayed loaded; so is first_run_s."""
    file_bytes: int
    health: Health = field(default_factory=Health)
    properties: dict[str, str] = field(default_factory=dict)
    """Options read back from the loaded session."""
    first_run_s: float | None = None
    build_s: float | None = None
    """Seconds that building the artefact took, at this visit or an earlier one."""

    def __post_init__(self) -> None:
        """There are samples, and each is a positive time."""
        if not self.samples_s or any(not 0 < s < float("inf") for s in self.samples_s):
            raise InputError("A visit must have samples, each positive finite seconds.")

    @property
    def latency_s(self) -> float:
        """Median of the samples."""
        return percentile(self.samples_s, 0.5)


@dataclass(frozen=True, kw_only=True, slots=True)
class MemoryUse:
    """Peak resident memory of a child that only loads and runs a model."""

    peak_bytes: int
    above_imports_bytes: int
    """The share above the peak with the runtime imported and nothing loaded."""
    readings: tuple[MemoryReading, ...] = ()
    """By stage."""
