"""A candidate: one architecture in one target."""

from __future__ import annotations

from dataclasses import dataclass

from fleetfit import Architecture, Target

__all__ = ["Candidate"]


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """What the search proposes, judges and verifies."""

    architecture: Architecture
    target: Target

    def __str__(self) -> str:
        """For tables and messages."""
        return f"{self.architecture.summary()} in {self.target}"
