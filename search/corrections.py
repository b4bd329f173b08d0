"""What measurements say of predictions, and verification that learns from its misses."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from fleetfit import Budget, Measurement, Target
from search.candidate import Candidate
from search.record import Ranked
from search.verify import AT_MOST, Verified, verify_candidates

__all__ = ["Corrections", "verify_ranked"]


class Corrections:
    """How far measurements (pessimistic end) were above predictions (mean), per target and metric.

    What was off for one network is off for its target in part only: the mean of n log-ratios is
    shrunk by n / (n + 1), which is right where networks differ among themselves about as much as
    a target is off as a whole. Never below 1.
    """

    def __init__(self) -> None:
        """Nothing is corrected."""
        self._logs: dict[tuple[Target, str], list[float]] = {}

    def learn(self, predicted: Ranked, found: Measurement) -> None:
        """Take in one measurement of a predicted candidate."""
        values = {"latency_p50": found.interval_s(0.5)[1], "latency_p90": found.interval_s(0.9)[1]}
        if found.memory_bytes is not None:
            values["memory"] = float(found.memory_bytes)
        for metric, value in values.items():
            if metric in predicted.costs:
                ratio = value / predicted.costs[metric].mean
                self._logs.setdefault((predicted.target, metric), []).append(math.log(ratio))

    def factor(self, target: Target, metric: str) -> float:
        """What predictions of ``metric`` in ``target`` are multiplied by."""
        logs = self._logs.get((target, metric), [])
        return max(1.0, math.exp(sum(logs) / (len(logs) + 1)))

    def excess(self, ranked: Ranked, budgets: Sequence[Budget]) -> float:
        """The worst relative excess of the corrected means; -1 where nothing can be judged."""
        worst = -1.0
        for budget in budgets:
            if budget.metric in ranked.costs:
                value = ranked.costs[budget.metric].mean
                cost = "latency_p50" if budget.metric == "throughput" else budget.metric
                factor = self.factor(ranked.target, cost)
                corrected = value / factor if budget.metric == "throughput" else value * factor
                worst = max(worst, budget.excess(corrected))
        return worst

    def order(self, ranked: Sequence[Ranked], budgets: Sequence[Budget]) -> list[Ranked]:
        """Those that still fit, in their order; where none does, the nearest first."""
        kept = [r for r in ranked if self.excess(r, budgets) <= 0]
        return kept or sorted(ranked, key=lambda r: self.excess(r, budgets))


def verify_ranked(
    ranked: Sequence[Ranked],
    measure: Callable[[Candidate], Measurement],
    budgets: Sequence[Budget],
    *,
    at_most: int = AT_MOST,
) -> Verified:
    """``verify_candidates`` in the order of ``ranked``; every miss corrects what is left.

    Raises InfeasibleError after ``at_most`` misses.
    """
    known = {r.candidate: r for r in ranked}
    corrections = Corrections()

    def learned(candidate: Candidate, measurement: Measurement) -> list[Candidate]:
        corrections.learn(known[candidate], measurement)
        left = [r for r in ranked if r.candidate != candidate]
        return [r.candidate for r in corrections.order(left, budgets)]

    return verify_candidates(list(known), measure, budgets, learned=learned, at_most=at_most)
