"""A candidate: one architecture in one target."""

from __future__ import annotations

from dataclasses import dataclass

from fleetfit import Architecture, Query, Target, Workload

__all__ = ["Candidate"]


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """What the search proposes, judges and verifies."""

    architecture: Architecture
    target: Target

    def query(self, workload: Workload) -> Query:
        """What a device measures of it."""
        return Query(architecture=self.architecture, target=self.target, workload=workload)

    def __str__(self) -> str:
        """For tables and messages."""
        return f"{self.architecture.summary()} in {self.target}"
