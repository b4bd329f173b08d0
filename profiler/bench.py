"""Where a survey measures: the interface between the order of visits and the children."""

from __future__ import annotations

import abc

from fleetfit import Query, Target
from profiler.visit import MemoryUse, Visit

__all__ = ["Bench"]


class Bench(abc.ABC):
    """A place that measures one thing at a time.

    Guarantees: a call returns when its measurement is over and nothing of it goes on in the
    background; SurroundingsError where a child crashes, hangs or a runtime fails.
    """

    @abc.abstractmethod
    def now_s(self) -> float:
        """Seconds on the bench's clock; only differences mean anything."""

    @abc.abstractmethod
    def visit(self, query: Query, *, seed: int) -> Visit:
        """Load the network of ``query`` under random weights, warm up, time it."""

    @abc.abstractmethod
    def reference(self, target: Target) -> float:
        """Median latency of the fixed reference network in ``target`` now, seconds."""

    @abc.abstractmethod
    def memory(self, query: Query, *, seed: int) -> MemoryUse:
        """Peak memory of a fresh child that only loads and runs the network; nothing is timed."""

    @abc.abstractmethod
    def wait_for_calm(self, at_most_s: float) -> bool:
        """Wait until nothing else uses the machine; False where it still does after that long."""

    @abc.abstractmethod
    def close(self) -> None:
        """End every child and remove every file."""
