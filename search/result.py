"""What a search found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fleetfit import InputError, LayerTable, Metric
from search.candidate import Candidate
from search.cost import Estimate
from search.problem import Problem

__all__ = ["Evaluated", "SearchResult", "non_dominated", "price", "quality_drop"]


@dataclass(frozen=True, kw_only=True)
class Evaluated:
    """A candidate with its loss and its predicted costs."""

    candidate: Candidate
    loss: float
    costs: Mapping[Metric, Estimate]
    """Predicted, SI units."""
    excess: float
    """Worst relative excess over all budgets, pessimistic; <= 0 where all are kept."""
    uniform: bool
    """All its layers are of one shape, as wide as the embedding."""

    @property
    def feasible(self) -> bool:
        """Whether every budget is kept, as far as predicted."""
        return self.excess <= 0

    @property
    def latency_s(self) -> float:
        """Predicted median latency, seconds."""
        return self.costs["latency_p50"].mean


@dataclass(frozen=True, kw_only=True)
class SearchResult:
    """All evaluated candidates, and views of them."""

    evaluated: tuple[Evaluated, ...]
    """In the order of evaluation; a pair of architecture and precision appears in each target
    of that precision where it is predicted to be feasible."""
    source: tuple[Evaluated, ...]
    """The unshrunk source model in every target, feasible or not."""
    asked: int
    """Pairs of architecture and precision whose quality was asked, the source's not counted."""

    @property
    def ranking(self) -> tuple[Evaluated, ...]:
        """Feasible candidates, lowest loss first, of equal loss the faster one."""
        found = [e for e in self.evaluated if e.feasible]
        return tuple(sorted(found, key=lambda e: (e.loss, e.latency_s)))

    @property
    def winner(self) -> Evaluated:
        """First of the ranking; a search never returns an empty one."""
        return self.ranking[0]

    @property
    def front(self) -> tuple[Evaluated, ...]:
        """Feasible candidates that none beats in both loss and latency, fastest first."""
        return non_dominated(self.ranking)

    @property
    def best_uniform(self) -> Evaluated | None:
        """First uniform network of the ranking."""
        return next((e for e in self.ranking if e.uniform), None)


def non_dominated(found: Sequence[Evaluated]) -> tuple[Evaluated, ...]:
    """Those that none beats in both loss and predicted latency, fastest first."""
    front: list[Evaluated] = []
    for one in sorted(found, key=lambda e: (e.latency_s, e.loss)):
        if not front or one.loss < front[-1].loss:
            front.append(one)
    return tuple(front)


def quality_drop(loss: float, source_loss: float) -> float:
    """Rise of a loss over the source model's, relative to it.

    Raises InputError where the source's loss is not above 0.
    """
    if source_loss <= 0:
        raise InputError(
            "A quality_drop budget must have a source model's loss above 0, but got "
            f"{source_loss:.3g}: use a loss that the source model does not reach perfectly."
        )
    return (loss - source_loss) / source_loss


def price(
    candidate: Candidate, problem: Problem, *, loss: float, source_loss: float
) -> tuple[Mapping[Metric, Estimate], float]:
    """Predicted costs of a candidate and its worst excess over all budgets, quality included."""
    table = LayerTable.of([candidate.architecture])
    excess = float(problem.excess(table, candidate.target)[0])
    if problem.drop_limit < float("inf"):
        excess = max(excess, quality_drop(loss, source_loss) / problem.drop_limit - 1)
    return problem.estimates(table, candidate.target)[0], excess
