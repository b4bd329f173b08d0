from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from search.fitting import Pool, Proposals
from search.genes import Genes
from search.seeds import feasible_uniform, maximal
from supernet.spaces import ElasticChoices, ElasticSpace
from tests.conftest import build_tiny_source
from tests.search.toy import toy_problem

SPACE = ElasticSpace(
    source=build_tiny_source(),
    choices=ElasticChoices(
        depths=(2, 3), embedding_widths=(16, 32), widths=(16, 32), heads=(2, 4), ffns=(32, 64)
    ),
)
GENES = Genes.of(SPACE)


def test_probing_names_what_each_gene_changes() -> None:
    assert GENES.kinds == ("depth", "embedding", *(("width", "heads", "ff_sum") * 3))


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 2**20), sign=st.sampled_from([-1, 1]))
def test_a_step_stays_in_the_space(seed: int, sign: int) -> None:
    rng = np.random.default_rng(seed)
    genomes = np.array([SPACE.genome(SPACE.sample(rng)) for _ in range(4)])
    moved = GENES.step(genomes, rng.integers(len(GENES.moves), size=4), np.full(4, sign))
    for genome in moved:
        assert SPACE.contains(SPACE.architecture(genome))


def test_a_layer_that_is_gained_copies_the_one_before() -> None:
    arch = SPACE.build(32, [(32, 4, 64), (32, 2, 64)])
    deeper = GENES.moves.sum(axis=1) == 1
    move = int(np.flatnonzero(deeper & GENES.moves[:, 0])[0])
    grown = GENES.step(SPACE.genome(arch)[None], np.array([move]), np.array([1]))[0]
    assert SPACE.architecture(grown) == SPACE.build(32, [(32, 4, 64), (32, 2, 64), (32, 2, 64)])


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**20), limit=st.floats(0.1, 1.0))
def test_fitted_members_keep_the_budget(seed: int, limit: float) -> None:
    problem = toy_problem(SPACE, f"params<={limit * 30:.4f}K", "latency_p50<=20ms")
    rng = np.random.default_rng(seed)
    proposals = Proposals(problem, genes=GENES, rng=rng)
    genomes = np.array([SPACE.genome(SPACE.sample(rng)) for _ in range(8)])
    targets, factor = rng.integers(2, size=8), np.where(np.arange(8) % 2, 1.0, 0.8)
    fitted = proposals.fit(Pool(genomes=genomes, targets=targets, tighten=factor))
    excess = problem.row_excess(fitted.genomes, fitted.targets, tighten=fitted.tighten)
    assert (excess <= 0).all()


def test_maximal_uniform_members_are_not_exceeded_by_another() -> None:
    problem = toy_problem(SPACE, "params<=14K")
    every = feasible_uniform(problem)
    best = maximal(problem, every)
    assert 0 < len(best) < len(every)
    for genome, target in zip(best.genomes, best.targets, strict=True):
        same = [problem.targets[t].precision for t in every.targets]
        rival = np.array(same) == problem.targets[target].precision
        above = (every.genomes >= genome).all(axis=1) & (every.genomes != genome).any(axis=1)
        assert not (above & rival).any()
