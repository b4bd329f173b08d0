"""What is searched: a space, targets, budgets and the cost models that judge them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from fleetfit import Budget, InputError, IntArray, LayerTable, Metric, Target, Workload
from search.cost import Costs, Estimate, FloatArray, predict, with_exact
from supernet.spaces import SearchSpace

__all__ = ["Problem", "resolve_budgets", "source_values"]

_FREE: tuple[Metric, ...] = ("latency_p50", "params", "size")
SourceValues = Mapping[Target, Mapping[Metric, float]]


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One search: every member of ``space`` in every target, within ``budgets``."""

    space: SearchSpace
    targets: tuple[Target, ...]
    budgets: tuple[Budget, ...]
    """Absolute ones; see ``resolve_budgets``."""
    costs: Costs
    """Metric to model; ``latency_p50`` must be there. Params and size are counted."""
    workload: Workload = field(default_factory=Workload)
    reserve: float = 0.0
    """Share of a limit on a time that a candidate must leave free; see Budget.stricter."""

    def __post_init__(self) -> None:
        """Targets differ, budgets are absolute, every budget has its model."""
        if not self.targets or len(set(self.targets)) != len(self.targets):
            names = ", ".join(map(str, self.targets)) or "none"
            raise InputError(f"A search must have targets that differ, but got {names}.")
        relative = [str(b) for b in self.budgets if b.relative]
        if relative:
            raise InputError(f"Budgets must be absolute here, but got {relative[0]}: resolve it.")
        table = LayerTable.of([self.space.smallest()])
        wanted: list[Metric] = ["latency_p50", *(b.metric for b in self.cost_budgets)]
        for metric in wanted:
            predict(with_exact(self.costs), metric, table, self.targets[0], self.workload)

    @property
    def cost_budgets(self) -> tuple[Budget, ...]:
        """The budgets that a prediction can judge, less the reserve."""
        judged = (b for b in self.budgets if b.metric != "quality_drop")
        return tuple(b.stricter(self.reserve) for b in judged)

    @property
    def drop_limit(self) -> float:
        """The tightest ``quality_drop`` limit, a share; infinity where there is none."""
        limits = [b.limit for b in self.budgets if b.metric == "quality_drop"]
        return min(limits, default=float("inf"))

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """What is predicted of each candidate, sorted."""
        budgeted = {b.metric for b in self.cost_budgets}
        return tuple(sorted({*self.costs, *_FREE, *budgeted}))

    def excess(self, table: LayerTable, target: Target, *, tighten: float = 1.0) -> FloatArray:
        """The worst relative excess over the cost budgets, shape N; <= 0 where all are kept.

        Judged at the pessimistic end of the 90 % interval (design decision 7). ``tighten`` in
        (0, 1] scales every limit towards the strict side.
        """
        worst = np.full(len(table), -1.0)
        costs = with_exact(self.costs)
        for budget in self.cost_budgets:
            found = predict(costs, budget.metric, table, target, self.workload)
            if budget.relation == "<=":
                limit = budget.limit * tighten
                over = (np.asarray(found.upper) - limit) / limit
            else:
                limit = budget.limit / tighten
                over = (limit - np.asarray(found.lower)) / limit
            worst = np.maximum(worst, over)
        return worst

    def row_excess(
        self, genomes: IntArray, targets: IntArray, *, tighten: FloatArray | None = None
    ) -> FloatArray:
        """``excess`` of canonical genomes (N x G), each in the target of that index (N)."""
        scale = np.ones(len(genomes)) if tighten is None else tighten
        worst = np.full(len(genomes), -1.0)
        for index, factor in sorted(set(zip(targets.tolist(), scale.tolist(), strict=True))):
            rows = (targets == index) & (scale == factor)
            table = self.space.layer_table(genomes[rows])
            worst[rows] = self.excess(table, self.targets[index], tighten=factor)
        return worst

    def estimates(self, table: LayerTable, target: Target) -> list[dict[Metric, Estimate]]:
        """All predicted metrics of each network of ``table``."""
        costs = with_exact(self.costs)
        rows: list[dict[Metric, Estimate]] = [{} for _ in range(len(table))]
        for metric in self.metrics:
            found = predict(costs, metric, table, target, self.workload)
            ends = zip(found.mean, found.lower, found.upper, strict=True)
            for row, (mean, lower, upper) in zip(rows, ends, strict=True):
                row[metric] = Estimate(mean=float(mean), lower=float(lower), upper=float(upper))
        return rows


def source_values(
    space: SearchSpace, targets: Sequence[Target], costs: Costs, workload: Workload
) -> dict[Target, dict[Metric, float]]:
    """The source model's predicted value of every metric in every target."""
    table = LayerTable.of([space.largest()])
    metrics: set[Metric] = {*costs, "params", "size", "throughput"}
    return {
        target: {
            metric: float(predict(with_exact(costs), metric, table, target, workload).mean[0])
            for metric in sorted(metrics)
        }
        for target in targets
    }


def resolve_budgets(budgets: Sequence[Budget], source: SourceValues) -> tuple[Budget, ...]:
    """Absolute budgets: shares are taken of the source model in its fastest target.

    ``source``: its values, measured or predicted, by target; the fastest is the one with the
    lowest ``latency_p50``. So 50 % means half of what the unshrunk model can do here at best.
    """
    if not any(b.relative for b in budgets):
        return tuple(budgets)
    lacking = [str(t) for t, values in source.items() if "latency_p50" not in values]
    if lacking or not source:
        raise InputError(
            "A relative budget must have the source model's latency_p50 in every target, but it "
            f"is missing for {', '.join(lacking) or 'all'}: measure or predict it."
        )
    fastest = min(source, key=lambda t: source[t]["latency_p50"])
    values = source[fastest]
    for budget in budgets:
        if budget.relative and budget.metric not in values:
            raise InputError(
                f"The relative budget {budget} must have the source model's {budget.metric} in "
                f"{fastest}, but it is unknown: measure it or give the limit in units."
            )
    return tuple(b.resolve(values[b.metric]) if b.relative else b for b in budgets)
