"""Fitting genomes to a budget: shrink what does not fit, then fill what is left.

Quality is nearly monotone in size, so the members that matter lie just under the limit.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from fleetfit import IntArray
from search.cost import FloatArray
from search.genes import Genes
from search.problem import Problem

__all__ = ["Pool", "Proposals"]

SHRINK_STEPS: Final = 80
FILL_STEPS: Final = 40


@dataclass(frozen=True, kw_only=True)
class Pool:
    """N proposals: canonical genomes (N x G), target indices (N), budget factors (N)."""

    genomes: IntArray
    targets: IntArray
    tighten: FloatArray
    """In (0, 1]; below 1 the proposal is fitted to a stricter budget, to spread the front."""

    def __len__(self) -> int:
        """Number of proposals N."""
        return len(self.genomes)

    def take(self, rows: IntArray) -> Pool:
        """The chosen rows."""
        return Pool(
            genomes=self.genomes[rows], targets=self.targets[rows], tighten=self.tighten[rows]
        )


class Proposals:
    """Random steps and budget fitting, vectorised over a pool; no state but ``rng``'s."""

    def __init__(self, problem: Problem, *, genes: Genes, rng: np.random.Generator) -> None:
        """``rng`` decides everything."""
        self._problem = problem
        self._genes = genes
        self._rng = rng

    def walk(self, genomes: IntArray, steps: IntArray) -> IntArray:
        """``steps`` (N) random steps from each genome, up or down."""
        for k in range(int(steps.max(initial=0))):
            signs = self._rng.choice(np.array([-1, 1]), size=len(genomes))
            moved = self._genes.step(genomes, self._moves(len(genomes)), signs)
            genomes = np.where((steps > k)[:, None], moved, genomes)
        return genomes

    def fit(self, pool: Pool) -> Pool:
        """Each proposal fitted to its budget; those that cannot be made to fit are left out."""
        if not self._problem.cost_budgets:
            return pool
        return self._fill(self._shrink(pool))

    def _shrink(self, pool: Pool) -> Pool:
        genomes = pool.genomes.copy()
        over = self._excess(pool, genomes) > 0
        for _ in range(SHRINK_STEPS):
            rows = np.flatnonzero(over)
            if not len(rows):
                break
            down = np.full(len(rows), -1)
            genomes[rows] = self._genes.step(genomes[rows], self._moves(len(rows)), down)
            over[rows] = self._excess(pool.take(rows), genomes[rows]) > 0
        return replace(pool, genomes=genomes).take(np.flatnonzero(~over))

    def _fill(self, pool: Pool) -> Pool:
        genomes = pool.genomes.copy()
        for _ in range(FILL_STEPS if len(pool) else 0):
            up = np.ones(len(genomes), dtype=np.int64)
            grown = self._genes.step(genomes, self._moves(len(genomes)), up)
            rows = np.flatnonzero((grown != genomes).any(axis=1))
            rows = rows[self._excess(pool.take(rows), grown[rows]) <= 0]
            genomes[rows] = grown[rows]
        return replace(pool, genomes=genomes)

    def _moves(self, count: int) -> IntArray:
        return self._rng.integers(len(self._genes.moves), size=count)

    def _excess(self, pool: Pool, genomes: IntArray) -> FloatArray:
        return self._problem.row_excess(genomes, pool.targets, tighten=pool.tighten)
