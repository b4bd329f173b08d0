"""Ask and tell: pymoo's NSGA-II selection and survival with operators of our own.

A genome is a target index and an architecture's genes. Objectives: loss, relative latency;
constraints: budget excesses. Children are fitted to the budget before anything expensive is
asked, and a surrogate picks among many.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from fleetfit import IntArray, Precision
from search.candidate import Candidate
from search.cost import FloatArray
from search.fitting import Pool, Proposals
from search.genes import Genes
from search.problem import Problem
from search.seeds import first_population
from search.settings import SearchSettings
from search.surrogate import Features, Surrogate

__all__ = ["Nsga2"]

_FACTORS: Final = (0.85, 0.7, 0.55)
"""Stricter budgets that one child in each generation is fitted to, so that the front spreads."""
_CROSSOVER: Final = 0.4
_OTHER_TARGET: Final = 0.1
_ROUNDS: Final = 4
"""Times that an empty or exhausted neighbourhood is drawn again before the search ends."""


class Nsga2:
    """Proposes candidates whose predicted cost keeps the budgets; none twice."""

    def __init__(self, problem: Problem, *, settings: SearchSettings) -> None:
        """Everything random follows from ``settings.seed``."""
        self._problem = problem
        self._settings = settings
        self._rng = np.random.default_rng(settings.seed)
        self._genes = Genes.of(problem.space)
        self._proposals = Proposals(problem, genes=self._genes, rng=self._rng)
        self._features = Features(problem.space.largest())
        self._seeds: deque[tuple[int, IntArray]] | None = None
        self._seen: set[tuple[bytes, Precision]] = set()
        self._population: Any = None
        self._surrogate: Surrogate | None = None
        self._x: list[FloatArray] = []
        self._y: list[float] = []

    def ask(self, count: int) -> list[Candidate]:
        """At most ``count`` new candidates; fewer, or none, when there are no more to be found."""
        if self._seeds is None:
            pool = first_population(
                self._problem,
                proposals=self._proposals,
                genes=self._genes,
                count=self._settings.population,
            )
            self._seeds = deque(zip(pool.targets.tolist(), pool.genomes, strict=True))
        chosen: list[Candidate] = []
        while self._seeds and len(chosen) < count:
            chosen += self._new([self._seeds.popleft()])
        if not chosen:
            chosen = self._offspring(count)
        return chosen

    def tell(
        self,
        candidates: Sequence[Candidate],
        losses: Sequence[float],
        costs: Sequence[float],
        violations: Sequence[float],
    ) -> None:
        """What was found: loss, relative latency and budget excess (<= 0: kept) of each."""
        from pymoo.core.population import Population
        from pymoo.core.problem import Problem as Definition
        from pymoo.operators.survival.rank_and_crowding import RankAndCrowding

        if not candidates:
            return
        told = Population.new(
            X=np.array([self._encode(c) for c in candidates], dtype=np.int64),
            F=np.column_stack([losses, costs]).astype(np.float64),
            G=np.array(violations, dtype=np.float64)[:, None],
        )
        pairs = [(c.architecture, c.target.precision) for c in candidates]
        self._x.extend(self._features(pairs))
        self._y.extend(losses)
        self._surrogate = None
        merged = told if self._population is None else Population.merge(self._population, told)
        genes = 1 + len(self._problem.space.gene_sizes)
        self._population = RankAndCrowding().do(
            Definition(n_var=genes, n_obj=2, n_ieq_constr=1),
            merged,
            n_survive=min(len(merged), self._settings.population),
            random_state=self._rng,
        )

    def _encode(self, candidate: Candidate) -> IntArray:
        target = self._problem.targets.index(candidate.target)
        return np.concatenate([[target], self._problem.space.genome(candidate.architecture)])

    def _new(self, rows: Sequence[tuple[int, IntArray]]) -> list[Candidate]:
        """Candidates of the rows whose (architecture, precision) was not asked before."""
        fresh = []
        for index, genome in rows:
            target = self._problem.targets[index]
            key = (genome.tobytes(), target.precision)
            if key not in self._seen:
                self._seen.add(key)
                arch = self._problem.space.architecture(genome)
                fresh.append(Candidate(architecture=arch, target=target))
        return fresh

    def _offspring(self, count: int) -> list[Candidate]:
        chosen: list[Candidate] = []
        for _ in range(_ROUNDS):
            spread = 1 if count > 1 and self._problem.cost_budgets else 0
            chosen += self._best_of(self._children(strict=True), spread)
            chosen += self._best_of(self._children(strict=False), count - len(chosen))
            if len(chosen) >= count:
                break
        return chosen

    def _best_of(self, pool: Pool, count: int) -> list[Candidate]:
        rows, seen = [], set()
        for index, genome in zip(pool.targets.tolist(), pool.genomes, strict=True):
            key = (genome.tobytes(), self._problem.targets[index].precision)
            if key not in self._seen and key not in seen:
                seen.add(key)
                rows.append((index, genome))
        if count < 1 or not rows:
            return []
        if len(self._y) < 2 or len(rows) <= count:
            return self._new(rows[:count])
        if self._surrogate is None:
            self._surrogate = Surrogate().fit(np.array(self._x), np.array(self._y))
        pairs = [
            (self._problem.space.architecture(g), self._problem.targets[t].precision)
            for t, g in rows
        ]
        picked = self._surrogate.choose(self._features(pairs), count)
        return self._new([rows[k] for k in picked])

    def _children(self, *, strict: bool) -> Pool:
        """A pool of children, each fitted to the budget (``strict``: to a share of it)."""
        size = max(1, self._settings.pool // (4 if strict else 1))
        targets, genomes = self._parents(size)
        switch = self._rng.random(size) < _OTHER_TARGET
        targets = np.where(
            switch, self._rng.integers(len(self._problem.targets), size=size), targets
        )
        genomes = self._proposals.walk(genomes, self._rng.integers(0, 4, size=size))
        factor = float(self._rng.choice(_FACTORS)) if strict else 1.0
        pool = Pool(genomes=genomes, targets=targets, tighten=np.full(size, factor))
        return self._proposals.fit(pool)

    def _parents(self, count: int) -> tuple[IntArray, IntArray]:
        """Targets (N) and genomes (N x G) by tournament and crossover; random ones at first."""
        space, rng = self._problem.space, self._rng
        if self._population is None:
            genomes = np.array([space.genome(space.sample(rng)) for _ in range(count)])
            return rng.integers(len(self._problem.targets), size=count), genomes
        x = self._population.get("X")
        rows = self._tournament(count)
        targets, genomes = x[rows[:, 0], 0].copy(), x[rows[:, 0], 1:].copy()
        for k in np.flatnonzero(rng.random(count) < _CROSSOVER):
            first, second = (space.architecture(x[r, 1:]) for r in rows[k])
            genomes[k] = space.genome(space.crossover(first, second, rng))
        return targets, genomes

    def _tournament(self, count: int) -> IntArray:
        """Pairs of parents, N x 2: pymoo's binary tournament."""
        from types import SimpleNamespace

        from pymoo.algorithms.moo.nsga2 import binary_tournament
        from pymoo.operators.selection.tournament import TournamentSelection

        if len(self._population) < 2:
            return np.zeros((count, 2), dtype=np.int64)
        rules = SimpleNamespace(tournament_type="comp_by_dom_and_crowding", random_state=self._rng)
        pairs = TournamentSelection(func_comp=binary_tournament)(
            None,
            self._population,
            count,
            n_parents=2,
            to_pop=False,
            random_state=self._rng,
            algorithm=rules,
        )
        return np.asarray(pairs, dtype=np.int64)
