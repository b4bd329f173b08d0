"""One configuration in one target during a survey: its visits, and when they are enough."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field

from fleetfit import Flag, Job, Query
from profiler.protocol import SurveyProtocol
from profiler.visit import Verdict, Visit

__all__ = ["Entry"]


@dataclass(kw_only=True, slots=True)
class Entry:
    """Mutable: a survey adds visits and verdicts until nothing is wanted."""

    query: Query
    job: Job
    visits: dict[int, Visit] = field(default_factory=dict)
    """Number in the store to visit, in order."""
    verdicts: dict[int, Verdict] = field(default_factory=dict)
    _latencies_s: dict[int, float] = field(default_factory=dict)
    """By number, as far as they were asked for: each is a median over many samples."""

    def wants_visit(self, protocol: SurveyProtocol) -> bool:
        """Whether one more visit is to be made; a pending one counts as good until judged."""
        if len(self.visits) >= protocol.visits + protocol.extra_visits:
            return False
        usable = self._latencies("good", "pending")
        if len(usable) < protocol.visits:
            return True
        return "pending" not in self.verdicts.values() and not _agree(usable, protocol)

    def result(self, protocol: SurveyProtocol) -> tuple[list[Visit], tuple[Flag, ...]]:
        """The visits that count, and why they are not enough; once no more is wanted."""
        good = [v for n, v in self.visits.items() if self.verdicts[n] == "good"]
        if len(good) < protocol.visits:
            return list(self.visits.values()), ("disturbed",)
        agree = _agree([v.latency_s for v in good], protocol)
        return good, () if agree else ("disagreeing",)

    def _latencies(self, *verdicts: Verdict) -> list[float]:
        known = self._latencies_s
        for number, visit in self.visits.items():
            if number not in known:
                known[number] = visit.latency_s
        return [known[n] for n in self.visits if self.verdicts[n] in verdicts]


def _agree(latencies_s: list[float], protocol: SurveyProtocol) -> bool:
    """Whether the visits that decide the median differ by no more than the protocol allows.

    Of an even number the two in the middle, of an odd one the middle and the nearer neighbour.
    """
    ordered = sorted(latencies_s)
    middle = (len(ordered) - 1) // 2
    pairs = list(itertools.pairwise(ordered))
    around = pairs[middle : middle + 1] if len(ordered) % 2 == 0 else pairs[middle - 1 : middle + 1]
    return not around or any(b <= a * (1 + protocol.agreement) for a, b in around)
