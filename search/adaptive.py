"""Measure and learn in turns, until predictions are as good as wanted."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from fleetfit import Architecture, InputError, Measurement, Query, Target, Workload
from predictors import LEAST_ROWS, CostMetric, CostPredictor, learn
from profiler import next_batch, plan
from supernet.spaces import SearchSpace

__all__ = ["Aim", "Means", "Profiled", "profile_until", "queries_of"]

_METRIC: Final[CostMetric] = "latency_p50"


@dataclass(frozen=True, kw_only=True, slots=True)
class Aim:
    """When measuring ends, and how far it goes at once."""

    error: float
    """Cross-validated MAPE of the median latency, in every target and workload."""
    most: int
    """Networks, however large the error still is."""
    first: int = 20
    """Networks of the plan before anything is learned; where more of it was measured, those."""
    batch: int = 10
    """Networks of each turn after that."""
    seed: int = 0
    """Of the plan and the candidates."""

    def __post_init__(self) -> None:
        """The error is a share above 0; there are enough networks to learn from."""
        if not 0 < self.error < 1:
            raise InputError(
                f"The error to reach must be above 0% and below 100%, but got {self.error:.1%}."
            )
        if min(self.most, self.first) < LEAST_ROWS or self.batch < 1:
            raise InputError(
                f"At least {LEAST_ROWS} networks must be measured to reach an error, in batches "
                f"of at least 1, but got most={self.most}, first={self.first}, "
                f"batch={self.batch}; allow more."
            )


@dataclass(frozen=True, kw_only=True)
class Means:
    """How networks are measured."""

    measure: Callable[[Sequence[Query]], list[Measurement]]
    """Measurements in the order of the queries; what was measured before is not repeated."""
    is_measured: Callable[[Sequence[Query]], bool] = lambda queries: False
    """Whether all of them were."""


@dataclass(frozen=True, kw_only=True)
class Profiled:
    """What was measured and how good predictions from it are."""

    networks: list[Architecture]
    measurements: list[Measurement]
    predictor: CostPredictor
    """Of the median latency."""
    error: float
    """The worst of all targets and workloads."""
    stopped: Literal["reached", "most", "exhausted"]
    """The error was reached; the most networks were measured; the space has no more members."""


def profile_until(
    space: SearchSpace, pairs: Sequence[tuple[Target, Workload]], aim: Aim, means: Means
) -> Profiled:
    """Measure the beginning of a plan, then batch after batch where predictions are least sure.

    Every pair measures every network. Nothing but ``aim.seed`` and the measurements decides what
    comes next, so a run that was interrupted takes the same way again, and what it measured is not
    measured twice. The networks are chosen to be hard to predict, so the error on ordinary members
    is lower than the one that is waited for. Raises InputError where no pair can be learned.
    """
    planned = plan(space, aim.most, np.random.default_rng(aim.seed))
    networks = planned[: _start(planned, pairs, aim, means)]
    while True:
        queries = queries_of(networks, pairs)
        rows = means.measure(queries)
        predictor, reports = learn(rows, _METRIC)
        error = float("inf") if predictor.dropped_ else max(r.errors.mape for r in reports)
        stopped: Literal["reached", "most", "exhausted"] = "reached"
        if error > aim.error:
            more = _more(space, queries, predictor, aim)
            if more:
                networks = [*networks, *more]
                continue
            stopped = "most" if len(networks) >= aim.most else "exhausted"
        return Profiled(
            networks=networks,
            measurements=rows,
            predictor=predictor,
            error=error,
            stopped=stopped,
        )


def queries_of(
    networks: Sequence[Architecture], pairs: Sequence[tuple[Target, Workload]]
) -> list[Query]:
    """Every network in every target and workload, network by network."""
    return [
        Query(architecture=a, target=t, workload=w)
        for a, (t, w) in itertools.product(networks, pairs)
    ]


def _start(
    planned: Sequence[Architecture],
    pairs: Sequence[tuple[Target, Workload]],
    aim: Aim,
    means: Means,
) -> int:
    """How much of the plan comes first: ``aim.first``, or as many more as were measured before.

    In steps of a batch: a batch that was chosen by predictions is not taken for the plan's.
    """
    start = aim.first
    while start < len(planned):
        longer = start + aim.batch
        if not means.is_measured(queries_of(planned[:longer], pairs)):
            break
        start = longer
    return min(start, len(planned))


def _more(
    space: SearchSpace, queries: Sequence[Query], predictor: CostPredictor, aim: Aim
) -> list[Architecture]:
    """The next batch; empty where the most are measured or none is left."""
    count = len({q.architecture.cost_id for q in queries})
    if count >= aim.most:
        return []
    learned = [q for q in queries if (q.target, q.workload) in predictor.models_]
    rng = np.random.default_rng((aim.seed, count))
    size = min(aim.batch, aim.most - count)
    return next_batch(space, learned, predictor.width_table, count=size, rng=rng)
