"""One thing that may disturb a measurement."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from fleetfit.codec import check_literals

__all__ = ["Disturbance", "Matters", "graded"]

Matters = Literal["ok", "unknown", "may disturb", "disturbs"]
"""unknown: the system does not show it, as in most virtual machines."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Disturbance:
    """What was looked at, what was found and what to do about it."""

    what: str
    found: str
    """In plain words, with units."""
    matters: Matters
    advice: str = ""
    """Empty where nothing is to be done."""

    def __post_init__(self) -> None:
        """How much it matters is one of the known words."""
        check_literals(self)


def graded(value: float, may: float, does: float) -> Matters:
    """Ok below ``may``; it disturbs from ``does`` on."""
    if value < may:
        return "ok"
    return "may disturb" if value < does else "disturbs"
