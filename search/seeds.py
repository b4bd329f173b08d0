"""Where the search starts: the obvious networks, so that it can never end below them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from fleetfit import IntArray, macs
from search.cost import FloatArray
from search.fitting import Pool, Proposals
from search.genes import Genes
from search.problem import Problem

__all__ = ["feasible_uniform", "first_population", "heuristic_shapes", "maximal"]

_PROFILES: Final[dict[str, Callable[[FloatArray], FloatArray]]] = {
    "rising": lambda at: 0.5 + 0.5 * at,
    "falling": lambda at: 1.0 - 0.5 * at,
    "diamond": lambda at: 1.0 - np.abs(2 * at - 1) / 2,
    "hourglass": lambda at: 0.5 + np.abs(2 * at - 1) / 2,
    # SuperShaper's hand-crafted rule: narrow second to fourth of twelve layers, wide last third.
    "supershaper": lambda at: np.where(
        at < 0.05, 0.6, np.where(at < 0.3, 0.3, np.where(at < 0.7, 0.6, 1.0))
    ),
}
"""Share of the largest gene by relative position of the layer, 0 to 1."""


def feasible_uniform(problem: Problem) -> Pool:
    """Every uniform member in every target whose predicted costs keep the budgets."""
    space = problem.space
    genomes = np.array([space.genome(a) for a in space.uniform()], dtype=np.int64)
    genomes = np.unique(genomes, axis=0)
    count, targets = len(genomes), np.arange(len(problem.targets))
    pool = Pool(
        genomes=np.tile(genomes, (len(targets), 1)),
        targets=np.repeat(targets, count),
        tighten=np.ones(count * len(targets)),
    )
    return pool.take(np.flatnonzero(problem.row_excess(pool.genomes, pool.targets) <= 0))


def maximal(problem: Problem, pool: Pool) -> Pool:
    """Members of ``pool`` that no other of the same precision equals or exceeds in every gene.

    Of equal genomes the first target stays. Largest by multiply-accumulates first.
    """
    precisions = np.array([problem.targets[t].precision for t in pool.targets])
    keep = []
    for row in range(len(pool)):
        above = (pool.genomes >= pool.genomes[row]).all(axis=1) & (precisions == precisions[row])
        equal = above & (pool.genomes == pool.genomes[row]).all(axis=1)
        keep.append(not (above & ~equal).any() and not equal[:row].any())
    kept = pool.take(np.flatnonzero(keep))
    return kept.take(np.argsort(-_size(problem, kept), kind="stable"))


def heuristic_shapes(problem: Problem, *, genes: Genes, proposals: Proposals) -> Pool:
    """The papers' shapes (triangles, diamond, hourglass, SuperShaper's), fitted to the budget."""
    origin = problem.space.genome(problem.space.largest())
    rows = []
    for kind in ("width", "ff_sum", "heads"):
        group = genes.group(kind)
        if len(group) < 2:
            continue
        at = np.linspace(0, 1, len(group))
        for profile in _PROFILES.values():
            row = origin.copy()
            row[group] = np.round(profile(at) * origin[group])
            rows.append(row)
    if not rows:
        rows.append(origin)
    genomes = problem.space.repair(np.array(rows, dtype=np.int64))
    targets = np.arange(len(problem.targets))
    pool = Pool(
        genomes=np.tile(genomes, (len(targets), 1)),
        targets=np.repeat(targets, len(genomes)),
        tighten=np.ones(len(genomes) * len(targets)),
    )
    fitted = proposals.fit(pool)
    return fitted.take(np.argsort(-_size(problem, fitted), kind="stable"))


def first_population(problem: Problem, *, proposals: Proposals, genes: Genes, count: int) -> Pool:
    """At most ``count`` seeds: two thirds uniform, the rest heuristic shapes, all feasible.

    Uniform members first by rank within their target's precision, so that each gets some.
    """
    uniform = maximal(problem, feasible_uniform(problem))
    shapes = heuristic_shapes(problem, genes=genes, proposals=proposals)
    first = uniform.take(_spread(problem, uniform)[: max(1, 2 * count // 3)])
    second = shapes.take(_spread(problem, shapes)[: count - len(first)])
    return Pool(
        genomes=np.concatenate([first.genomes, second.genomes]),
        targets=np.concatenate([first.targets, second.targets]),
        tighten=np.concatenate([first.tighten, second.tighten]),
    )


def _size(problem: Problem, pool: Pool) -> FloatArray:
    if not len(pool):
        return np.zeros(0)
    table = problem.space.layer_table(pool.genomes)
    return np.asarray(macs(table, problem.workload).total, dtype=np.float64)


def _spread(problem: Problem, pool: Pool) -> IntArray:
    """The order of ``pool``, but with every target's three largest in front."""
    ranks = np.zeros(len(pool), dtype=np.int64)
    for target in range(len(problem.targets)):
        rows = np.flatnonzero(pool.targets == target)
        ranks[rows] = np.arange(len(rows))
    return np.lexsort((np.arange(len(pool)), np.maximum(ranks, 2) > 2))
