"""Which architectures to measure: extremes, some uniform networks, and a spread of the rest."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator
from typing import Final

import numpy as np

from fleetfit import Architecture, InputError, IntArray
from profiler.coverage import FloatArray, Metric, Spread, mean_sizes
from supernet.spaces import SearchSpace

__all__ = ["candidates", "extremes", "metric_of", "plan", "stacked", "uniform_members"]

_UNIFORM_EVERY: Final = 5
_MOST_UNIFORM: Final = 2000
_DRAWS: Final = 2000
"""Candidates drawn at once,"""
_PLACES_PER_DRAW: Final = 100
"""for so many places of a plan."""
_MOST_GENOMES: Final = 20_000
"""A space with no more combinations of genes is gone through instead."""
_FIRST: Final = 10.0
"""Weight of the dimension that an extreme is about, against 1 of each other."""


def plan(space: SearchSpace, count: int, rng: np.random.Generator) -> list[Architecture]:
    """``count`` members of ``space`` that differ in cost; fewer only where the space is smaller.

    Largest and smallest first, then the extremes of each dimension; of the rest every fifth a
    uniform network, the others random members and mutants of uniform ones, each the farthest from
    those before (greedy max-min distance, Kennard & Stone 1969; ``Metric`` says over what). A
    longer plan from an equal ``rng`` begins with the shorter one. Every target is to measure the
    same networks: predictors share nothing between targets, artefacts are.
    """
    if count < 1:
        raise InputError(f"A plan must have `count >= 1`, but got {count}.")
    return list(itertools.islice(_places(space, rng), count))


def _places(space: SearchSpace, rng: np.random.Generator) -> Iterator[Architecture]:
    """The longest plan, one network after the other."""
    taken: set[str] = set()
    first, uniform = stacked(space, extremes(space)), stacked(space, uniform_members(space))
    draws = candidates(space, rng)
    more = next(draws)
    spread = Spread(space, metric_of(space, more))
    spread.add(uniform)
    for genome in first:
        spread.choose(genome)
        yield from _fresh(space.architecture(genome), taken)
    spread.add(more)
    free = np.ones(len(spread.genomes), dtype=bool)
    while True:
        if len(taken) % _PLACES_PER_DRAW == 0 or not free.any():
            more = next(draws, more[:0])
            spread.add(more)
            free = np.concatenate([free, np.ones(len(more), dtype=bool)])
        even = np.arange(len(free)) < len(uniform)
        wanted = even if len(taken) % _UNIFORM_EVERY == 0 else ~even
        at = spread.farthest(free & wanted if (free & wanted).any() else free)
        if at is None:
            return
        free[at] = False
        spread.choose(spread.genomes[at])
        yield from _fresh(space.architecture(spread.genomes[at]), taken)


def _fresh(arch: Architecture, taken: set[str]) -> Iterator[Architecture]:
    """``arch``, unless one of its cost was taken."""
    if arch.cost_id not in taken:
        taken.add(arch.cost_id)
        yield arch


def extremes(space: SearchSpace) -> list[Architecture]:
    """Largest, smallest, and two for each dimension that is elastic.

    One with the least of it and the most of all others (the shallowest of the widest), one with
    the most of it and the least of all others; distinct.
    """
    ends = np.stack([space.genome(a) for a in (space.smallest(), space.largest())])
    low, high = mean_sizes(space.layer_table(ends))
    span = high - low
    found = [ends[1], ends[0]]
    for dimension in np.flatnonzero(span > 0):
        for origin, sign in ((ends[1], -1.0), (ends[0], 1.0)):
            weights = np.full(len(span), -sign)
            weights[dimension] = _FIRST * sign
            per_unit = np.where(span > 0, weights / np.where(span > 0, span, 1.0), 0.0)
            found.append(_climbed(space, origin, per_unit))
    members = [space.architecture(genome) for genome in found]
    return list({a.cost_id: a for a in members}.values())


def _climbed(space: SearchSpace, genome: IntArray, weights: FloatArray) -> IntArray:
    """The genome whose weighted mean sizes are greatest, gene by gene from ``genome``."""
    genes = [gene for gene, size in enumerate(space.gene_sizes) if size > 1]
    best = -math.inf
    while True:
        before = best
        for gene in genes:
            rows = np.repeat(genome[None], space.gene_sizes[gene], axis=0)
            rows[:, gene] = np.arange(len(rows))
            rows = space.repair(rows)
            values = mean_sizes(space.layer_table(rows)) @ weights
            at = int(np.argmax(values))
            if values[at] > best + 1e-9:
                genome, best = rows[at], float(values[at])
        if best == before:
            return genome


def uniform_members(space: SearchSpace) -> list[Architecture]:
    """The uniform networks that plans choose from."""
    return list(itertools.islice(space.uniform(), _MOST_UNIFORM))


def candidates(space: SearchSpace, rng: np.random.Generator) -> Iterator[IntArray]:
    """Canonical genomes (N x G) to choose from, one draw after the other.

    All members at once where the space is small; else random members and mutants of uniform ones
    by halves, as long as a draw holds anything new.
    """
    sizes = space.gene_sizes
    if math.prod(sizes) <= _MOST_GENOMES:
        yield np.unique(space.repair(np.indices(sizes).reshape(len(sizes), -1).T), axis=0)
        return
    uniform = uniform_members(space)
    seen: set[bytes] = set()
    while True:
        members = (
            space.sample(rng)
            if i % 2 == 0
            else space.mutate(uniform[int(rng.integers(len(uniform)))], rng)
            for i in range(_DRAWS)
        )
        drawn = {g.tobytes(): g for g in stacked(space, members)}
        fresh = [genome for key, genome in drawn.items() if key not in seen]
        if not fresh:
            return
        seen.update(drawn)
        yield np.stack(fresh)


def metric_of(space: SearchSpace, drawn: IntArray) -> Metric:
    """The metric over extremes, uniform networks and the candidates ``drawn`` first."""
    known = stacked(space, [*extremes(space), *uniform_members(space)])
    return Metric.of(space.layer_table(np.concatenate([known, drawn])))


def stacked(space: SearchSpace, members: Iterable[Architecture]) -> IntArray:
    """Genomes of the members, N x G."""
    return np.stack([space.genome(a) for a in members])
