"""Which architectures to measure: the ends, some uniform networks, and a spread of the rest."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Final

import numpy as np
import numpy.typing as npt

from fleetfit import Architecture, InputError, LayerTable, Workload, macs, parameters
from supernet.spaces import SearchSpace

__all__ = ["plan"]

_UNIFORM_SHARE: Final = 0.2
_UNIFORM_CANDIDATES: Final = 2000
_DRAWS_PER_PLACE: Final = 20
_WORKLOAD: Final = Workload()

FloatArray = npt.NDArray[np.float64]


def plan(space: SearchSpace, count: int, rng: np.random.Generator) -> list[Architecture]:
    """``count`` members of ``space`` that differ in cost; fewer only where the space is smaller.

    Largest and smallest first, then a fifth uniform networks, then random members; both kinds
    are chosen greedily, each farthest from those chosen before (max-min distance over the logs
    of multiply-accumulates by kind, parameters, depth and widths). A longer plan from an equal
    ``rng`` need not contain a shorter one.
    """
    if count < 1:
        raise InputError(f"A plan must have `count >= 1`, but got {count}.")
    chosen = _distinct([space.largest(), space.smallest()])[:count]
    uniform = _distinct(itertools.islice(space.uniform(), _UNIFORM_CANDIDATES))
    chosen = _spread(chosen, uniform, min(count, len(chosen) + round(_UNIFORM_SHARE * count)))
    draws = _distinct(space.sample(rng) for _ in range(_DRAWS_PER_PLACE * count))
    chosen = _spread(chosen, draws, count)
    # A small space: what sampling has missed.
    return _spread(chosen, uniform, count)


def _distinct(architectures: Iterable[Architecture]) -> list[Architecture]:
    """One of each cost, in order."""
    return list({a.cost_id: a for a in reversed(list(architectures))}.values())[::-1]


def _spread(
    chosen: list[Architecture], candidates: list[Architecture], count: int
) -> list[Architecture]:
    """``chosen`` and those candidates that lie farthest from it, ``count`` in all."""
    taken = {a.cost_id for a in chosen}
    candidates = [a for a in candidates if a.cost_id not in taken]
    wanted = min(count - len(chosen), len(candidates))
    if wanted <= 0:
        return chosen
    points = _features([*chosen, *candidates])
    start = len(chosen)
    distance = np.full(len(candidates), np.inf)
    for point in points[:start]:
        distance = np.minimum(distance, np.linalg.norm(points[start:] - point, axis=1))
    picked = []
    for _ in range(wanted):
        best = int(np.argmax(distance))
        picked.append(candidates[best])
        step = np.linalg.norm(points[start:] - points[start + best], axis=1)
        distance = np.minimum(distance, step)
        distance[best] = -1.0
    return [*chosen, *picked]


def _features(architectures: list[Architecture]) -> FloatArray:
    """N x F: what decides cost, each scaled to 0..1; total cost counts double."""
    table = LayerTable.of(architectures)
    counts = macs(table, _WORKLOAD)
    depth = (table.width > 0).sum(axis=1)
    total = np.log(counts.total)
    columns = [
        total,
        total,
        np.log1p(counts.attention_linear),
        np.log1p(counts.feed_forward),
        np.log1p(counts.projections),
        np.log(parameters(table)),
        np.log(depth),
        np.log(table.width.sum(axis=1) / depth),
        np.log(table.embedding_width),
    ]
    raw = np.stack([np.asarray(c, dtype=np.float64) for c in columns], axis=1)
    low, high = raw.min(axis=0), raw.max(axis=0)
    return np.asarray((raw - low) / np.where(high > low, high - low, 1.0))
