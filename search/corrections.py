"""What measurements say of predictions, and verification that learns from its misses."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from fleetfit import Budget, Measurement, Target
from search.candidate import Candidate
from search.record import Ranked
from search.verify import AT_MOST, Verified, verify_candidates

__all__ = ["Corrections", "verify_ranked"]


class Corrections:
    """The largest ratio of measured (pessimistic end) to predicted (mean), from 1 upwards.

    One for each target and metric: what was off for one network is taken to be off for all.
    """

    def __init__(self) -> None:
        """Nothing is corrected."""
        self._ratios: dict[tuple[Target, str], float] = {}

    def learn(self, predicted: Ranked, found: Measurement) -> None:
        """Take in one measurement of a predicted candidate."""
        values = {"latency_p50": found.interval_s(0.5)[1], "latency_p90": found.interval_s(0.9)[1]}
        if found.memory_bytes is not None:
            values["memory"] = float(found.memory_bytes)
        for metric, value in values.items():
            if metric in predicted.costs:
                key = (predicted.target, metric)
                ratio = value / predicted.costs[metric].mean
                self._ratios[key] = max(self._ratios.get(key, 1.0), ratio)

    def excess(self, ranked: Ranked, budgets: Sequence[Budget]) -> float:
        """The worst relative excess of the corrected means; -1 where nothing can be judged."""
        worst = -1.0
        for budget in budgets:
            if budget.metric in ranked.costs:
                value = ranked.costs[budget.metric].mean
                cost = "latency_p50" if budget.metric == "throughput" else budget.metric
                ratio = self._ratios.get((ranked.target, cost), 1.0)
                corrected = value / ratio if budget.metric == "throughput" else value * ratio
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
