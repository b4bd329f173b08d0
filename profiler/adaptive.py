"""What to measure next: networks whose cost the predictors know least, no two of them alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from fleetfit import Architecture, InputError, LayerTable, Query, Target, Workload
from profiler.coverage import FloatArray, Spread
from profiler.plan import candidates, metric_of, stacked, uniform_members
from supernet.spaces import SearchSpace

__all__ = ["Width", "next_batch"]

Width = Callable[[LayerTable, Target, Workload], FloatArray]
"""Relative width of the interval of each network of a table, N, in one target and workload."""


def next_batch(
    space: SearchSpace,
    measured: Sequence[Query],
    width: Width,
    *,
    count: int,
    rng: np.random.Generator,
) -> list[Architecture]:
    """At most ``count`` members of ``space`` that no query has; none where none is left.

    Candidates are the plan's. Each pick has the greatest product of two: the width of its interval
    in that (target, workload) of ``measured`` where it is widest, and its distance to the nearest
    network measured or picked (after Wu, Lin & Huang 2019, Active learning for regression using
    greedy sampling). Width alone picks corners, near to each other, and learns less than going on
    with the plan (docs/experiments.md). A longer batch from an equal ``rng`` begins with the
    shorter one.
    """
    if count < 1 or not measured:
        raise InputError(
            "A next batch must have `count >= 1` and queries that were measured, but got "
            f"{count} and {len(measured)}."
        )
    taken = {q.architecture.cost_id: q.architecture for q in measured}
    spread = _candidates(space, list(taken.values()), rng)
    if not len(spread.genomes):
        return []
    pairs = dict.fromkeys((q.target, q.workload) for q in measured)
    table = space.layer_table(spread.genomes)
    wide = np.max([width(table, *pair) for pair in pairs], axis=0)
    batch: list[Architecture] = []
    free = np.ones(len(wide), dtype=bool)
    while len(batch) < count and free.any():
        at = int(np.argmax(np.where(free, wide * spread.distance, -1.0)))
        free[at] = False
        arch = space.architecture(spread.genomes[at])
        if arch.cost_id not in taken:
            taken[arch.cost_id] = arch
            spread.choose(spread.genomes[at])
            batch.append(arch)
    return batch


def _candidates(
    space: SearchSpace, measured: Sequence[Architecture], rng: np.random.Generator
) -> Spread:
    """Uniform networks and one draw of others, without those measured."""
    drawn = next(candidates(space, rng))
    known = stacked(space, measured)
    everything = np.concatenate([known, stacked(space, uniform_members(space)), drawn])
    _, first = np.unique(everything, axis=0, return_index=True)
    spread = Spread(space, metric_of(space, drawn))
    spread.add(everything[np.sort(first[first >= len(known)])])
    for genome in known:
        spread.choose(genome)
    return spread
