"""What a search and a verification leave on disk for the verbs that come after."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from fleetfit import Architecture, Budget, InputError, Measurement, Target, Workload, dumps, loads
from fleetfit.files import read_text, write_text
from search.candidate import Candidate
from search.cost import Estimate
from search.result import Evaluated

__all__ = [
    "Ranked",
    "SearchRecord",
    "TriedRecord",
    "VerifiedRecord",
    "read_record",
    "write_record",
]


R = TypeVar("R", "SearchRecord", "VerifiedRecord", "TriedRecord")


@dataclass(frozen=True, kw_only=True)
class Ranked:
    """A feasible candidate, its loss and its predicted costs (SI units)."""

    architecture: Architecture
    target: Target
    loss: float
    costs: dict[str, Estimate]

    @property
    def candidate(self) -> Candidate:
        """Network and target."""
        return Candidate(architecture=self.architecture, target=self.target)

    @classmethod
    def of(cls, found: Evaluated) -> Ranked:
        """What a record keeps of a candidate."""
        return cls(
            architecture=found.candidate.architecture,
            target=found.candidate.target,
            loss=found.loss,
            costs={str(metric): cost for metric, cost in found.costs.items()},
        )


@dataclass(frozen=True, kw_only=True)
class SearchRecord:
    """The result of one search."""

    budgets: tuple[str, ...]
    """As asked."""
    resolved: tuple[str, ...]
    """The same in absolute terms, every digit."""
    reserve: float
    """Share of a limit on a time that a candidate must leave free; see Budget.stricter."""
    workload: Workload
    ranking: tuple[Ranked, ...]
    """Lowest loss first."""
    source: tuple[Ranked, ...]
    """The unshrunk source model in every target."""

    @property
    def absolute_budgets(self) -> tuple[Budget, ...]:
        """The budgets as values."""
        return tuple(map(Budget.parse, self.resolved))

    @property
    def strict_budgets(self) -> tuple[Budget, ...]:
        """The budgets less the reserve: what candidates are searched and verified by."""
        return tuple(b.stricter(self.reserve) for b in self.absolute_budgets)


@dataclass(frozen=True, kw_only=True)
class VerifiedRecord:
    """The candidate that kept the budgets when measured."""

    architecture: Architecture
    target: Target
    workload: Workload
    budgets: tuple[str, ...]
    """In absolute terms, every digit."""
    predicted: dict[str, Estimate]
    measurement: Measurement
    misses: tuple[Measurement, ...] = ()

    @property
    def absolute_budgets(self) -> tuple[Budget, ...]:
        """The budgets as values."""
        return tuple(map(Budget.parse, self.budgets))


@dataclass(frozen=True, kw_only=True)
class TriedRecord:
    """Everything that verify measured for one search so far: ``--next`` goes on after it."""

    measurements: tuple[Measurement, ...]

    @property
    def candidates(self) -> frozenset[Candidate]:
        """What was measured."""
        queries = [m.job.query for m in self.measurements]
        return frozenset(Candidate(architecture=q.architecture, target=q.target) for q in queries)


def write_record(path: Path, record: SearchRecord | VerifiedRecord | TriedRecord) -> None:
    """Write a record atomically."""
    write_text(path, dumps(record) + "\n")


def read_record(path: Path, kind: type[R]) -> R:
    """Read a record; raises InputError for anything but one of ``kind``."""
    verb = "search" if kind is SearchRecord else "verify"
    try:
        return loads(kind, read_text(path, f"The record of {verb}"))
    except InputError as exc:
        raise InputError(
            f"{path} must be written by {verb}, but is not ({exc}); {verb} again."
        ) from exc
