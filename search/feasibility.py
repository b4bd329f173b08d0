"""Whether a budget can be met at all, told before the search starts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fleetfit import Architecture, Budget, InfeasibleError, LayerTable, Target
from search.candidate import Candidate
from search.cost import predict, with_exact
from search.problem import Problem
from search.seeds import feasible_uniform

__all__ = ["Feasibility", "check_feasible", "feasibility"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Feasibility:
    """One target and one budget; values are predicted means in SI units."""

    target: Target
    budget: Budget
    smallest: float
    largest: float
    """The largest member is the source model."""
    share: float
    """Share of sampled members whose pessimistic end keeps this budget."""
    share_all: float
    """Share of them that keeps every budget in this target."""


def feasibility(problem: Problem, *, samples: int, seed: int) -> tuple[Feasibility, ...]:
    """A row for each target and cost budget; ``samples`` random members are predicted."""
    table = _table(problem, samples, seed)
    rows = []
    for target in problem.targets:
        share_all = float((problem.excess(table, target) <= 0)[2:].mean())
        for budget in problem.cost_budgets:
            costs = with_exact(problem.costs)
            found = predict(costs, budget.metric, table, target, problem.workload)
            end = found.upper if budget.relation == "<=" else found.lower
            kept = [budget.excess(float(v)) <= 0 for v in end[2:]]
            rows.append(
                Feasibility(
                    target=target,
                    budget=budget,
                    smallest=float(found.mean[0]),
                    largest=float(found.mean[1]),
                    share=float(np.mean(kept)),
                    share_all=share_all,
                )
            )
    return tuple(rows)


def check_feasible(problem: Problem, *, samples: int, seed: int) -> None:
    """Raise InfeasibleError where no sampled or uniform member, nor the smallest, fits anywhere.

    The message names the candidate that comes nearest, the budget it misses most and by how much.
    """
    table = _table(problem, samples, seed)
    excess = np.array([problem.excess(table, target) for target in problem.targets])
    if (excess <= 0).any() or len(feasible_uniform(problem)):
        return
    at, row = np.unravel_index(int(np.argmin(excess)), excess.shape)
    target = problem.targets[int(at)]
    arch = _members(problem, samples, seed)[int(row)]
    raise InfeasibleError(
        "Some network must keep every budget, but none does; the nearest is "
        f"{_miss(problem, Candidate(architecture=arch, target=target))}: raise the limit, or add "
        "a faster target."
    )


def _miss(problem: Problem, candidate: Candidate) -> str:
    """The candidate, and its worst budget with the predicted value."""
    table = LayerTable.of([candidate.architecture])
    costs = with_exact(problem.costs)
    misses = []
    for budget in problem.cost_budgets:
        found = predict(costs, budget.metric, table, candidate.target, problem.workload)
        value = float((found.upper if budget.relation == "<=" else found.lower)[0])
        kept = "" if budget in problem.budgets else f", {problem.reserve:.0%} in reserve,"
        said = f"predicted {budget.shown(value)} where {budget}{kept} is asked"
        misses.append((budget.excess(value), said))
    return f"{candidate}, {max(misses)[1]}"


def _members(problem: Problem, samples: int, seed: int) -> list[Architecture]:
    """The smallest, the largest, then random members."""
    rng = np.random.default_rng(seed)
    drawn = [problem.space.sample(rng) for _ in range(samples)]
    return [problem.space.smallest(), problem.space.largest(), *drawn]


def _table(problem: Problem, samples: int, seed: int) -> LayerTable:
    return LayerTable.of(_members(problem, samples, seed))
