"""A bench whose truth is known, on a clock of its own; for tests of everything above it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from fleetfit import Health, LayerTable, Query, Target, macs, parameters
from profiler.bench import Bench
from profiler.visit import MemoryUse, Visit

__all__ = ["FakeBench"]

_REFERENCE_S = 1e-3


class FakeBench(Bench):
    """Latency is macs / 50 G per second, memory 4 bytes per parameter and 40 MB.

    ``slowdown(now_s)`` scales latencies at a time of its clock, ``others(now_s)`` are the cores
    that other processes use; each visit takes one second of it, each reference reading 0.1 s.
    """

    def __init__(
        self,
        slowdown: Callable[[float], float] = lambda now_s: 1.0,
        others: Callable[[float], float] = lambda now_s: 0.0,
    ) -> None:
        """Start at time 0."""
        self._slowdown, self._others = slowdown, others
        self._now_s = 0.0
        self.visited: list[Query] = []
        """Every query visited, in order."""
        self.closed = False

    def now_s(self) -> float:
        """See Bench; seconds that have passed here."""
        return self._now_s

    def visit(self, query: Query, *, seed: int) -> Visit:
        """See Bench; three equal samples at the true latency."""
        self.visited.append(query)
        latency = self.truth_s(query) * self._slowdown(self._now_s)
        others = self._others(self._now_s)
        self._now_s += 1.0
        return Visit(
            samples_s=(latency,) * 3,
            load_s=0.01,
            file_bytes=4 * _parameters(query),
            health=Health(steal=0.0, other_load=others),
            properties={"threads": str(query.target.threads)},
        )

    def reference(self, target: Target) -> float:
        """See Bench."""
        self._now_s += 0.1
        return _REFERENCE_S * self._slowdown(self._now_s)

    def memory(self, query: Query, *, seed: int) -> MemoryUse:
        """See Bench."""
        above = 4 * _parameters(query)
        return MemoryUse(peak_bytes=above + 40_000_000, above_imports_bytes=above)

    def wait_for_calm(self, at_most_s: float) -> bool:
        """See Bench; looks every 0.1 s."""
        end = self._now_s + at_most_s
        while self._others(self._now_s) > 0 and self._now_s < end:
            self._now_s += 0.1
        return self._others(self._now_s) == 0

    def close(self) -> None:
        """See Bench."""
        self.closed = True

    @staticmethod
    def truth_s(query: Query) -> float:
        """The undisturbed latency."""
        counts = macs(LayerTable.of([query.architecture]), query.workload)
        return float(np.asarray(counts.total)[0]) / 50e9


def _parameters(query: Query) -> int:
    return int(parameters(LayerTable.of([query.architecture]))[0])
