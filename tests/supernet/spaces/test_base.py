"""The contract of a search space. A new space adds an entry to ``SPACES`` and nothing else."""

from __future__ import annotations

import dataclasses
import itertools
import math

import numpy as np
import numpy.typing as npt
import pytest

from fleetfit import (
    Architecture,
    Head,
    InputError,
    IntArray,
    LayerTable,
    dumps,
    loads,
    parameters,
    weight_shapes,
)
from supernet.spaces import SearchSpace
from tests.supernet.spaces.spaces import SPACES

COUNT = 60


@pytest.fixture(params=SPACES)
def space(request: pytest.FixtureRequest) -> SearchSpace:
    return SPACES[request.param]


@pytest.fixture
def members(space: SearchSpace, rng: np.random.Generator) -> list[Architecture]:
    """Sampled members, the extremes, and children of both operators."""
    found = [space.largest(), space.smallest(), *(space.sample(rng) for _ in range(COUNT))]
    found += [space.mutate(arch, rng) for arch in found]
    pairs = zip(found[::2], found[1::2], strict=False)
    return found + [space.crossover(a, b, rng) for a, b in pairs]


def random_genomes(space: SearchSpace, rng: np.random.Generator) -> IntArray:
    """Rows far out of range on both sides."""
    return rng.integers(-3, np.array(space.gene_sizes) + 3, size=(200, len(space.gene_sizes)))


def padded(values: npt.NDArray[np.int64], shape: tuple[int, ...]) -> npt.NDArray[np.int64]:
    return np.pad(values, [(0, n - m) for n, m in zip(shape, values.shape, strict=True)])


def assert_same_table(a: LayerTable, b: LayerTable) -> None:
    """Equal up to layers and sub-layers that no network has."""
    for field in dataclasses.fields(LayerTable):
        x, y = getattr(a, field.name), getattr(b, field.name)
        shape = tuple(np.maximum(x.shape, y.shape).tolist())
        assert len(x) == len(y)
        assert (padded(x, shape) == padded(y, shape)).all(), field.name


def projections(arch: Architecture) -> int:
    return sum(layer.projected for layer in arch.layers)


def test_everything_that_comes_out_is_contained(
    space: SearchSpace, members: list[Architecture]
) -> None:
    assert all(space.contains(arch) for arch in members)
    uniform = [arch for _, arch in zip(range(500), space.uniform(), strict=False)]
    assert all(space.contains(arch) for arch in uniform)


def test_genome_and_back(space: SearchSpace, members: list[Architecture]) -> None:
    for arch in members:
        genome = space.genome(arch)
        assert genome.dtype == np.int64
        assert genome.shape == (len(space.gene_sizes),)
        assert space.architecture(genome) == arch


def test_a_genome_is_canonical(space: SearchSpace, members: list[Architecture]) -> None:
    genomes = np.stack([space.genome(arch) for arch in members])
    assert (genomes >= 0).all()
    assert (genomes < np.array(space.gene_sizes)).all()
    assert (space.repair(genomes) == genomes).all()
    ids = {arch.id for arch in members}
    assert len(np.unique(genomes, axis=0)) == len(ids)


def test_a_member_survives_json(space: SearchSpace, members: list[Architecture]) -> None:
    for arch in members[:20]:
        assert space.contains(loads(Architecture, dumps(arch)))


def test_repair_gives_canonical_genomes_and_keeps_what_fits(
    space: SearchSpace, rng: np.random.Generator
) -> None:
    genomes = random_genomes(space, rng)
    before = genomes.copy()
    repaired = space.repair(genomes)
    assert (genomes == before).all()
    assert (space.repair(repaired) == repaired).all()
    clipped = np.clip(genomes, 0, np.array(space.gene_sizes) - 1)
    assert ((repaired == clipped) | (repaired == 0)).all()
    for row in repaired:
        assert (space.genome(space.architecture(row)) == row).all()


def test_a_genome_that_is_not_canonical_is_refused(
    space: SearchSpace, rng: np.random.Generator
) -> None:
    genomes = random_genomes(space, rng)
    odd = genomes[(space.repair(genomes) != genomes).any(axis=1)]
    assert len(odd)
    for row in odd[:20]:
        with pytest.raises(InputError, match="must be canonical"):
            space.architecture(row)
    good = space.genome(space.largest())
    for wrong in (good[:-1], np.append(good, 0), good[None], good + 0.25):
        with pytest.raises(InputError, match="must be canonical"):
            space.architecture(wrong)  # type: ignore[arg-type]


def test_layer_table_equals_that_of_the_architectures(
    space: SearchSpace, members: list[Architecture]
) -> None:
    genomes = np.stack([space.genome(arch) for arch in members])
    assert_same_table(space.layer_table(genomes), LayerTable.of(members))
    assert len(space.layer_table(genomes[:0])) == 0


def test_parameters_equal_the_sum_over_weight_shapes(
    space: SearchSpace, members: list[Architecture]
) -> None:
    genomes = np.stack([space.genome(arch) for arch in members])
    wanted = [sum(math.prod(s) for s in weight_shapes(arch).values()) for arch in members]
    assert parameters(space.layer_table(genomes)).tolist() == wanted


def test_sampling_repeats_with_the_seed(space: SearchSpace) -> None:
    def draw(seed: int) -> list[Architecture]:
        rng = np.random.default_rng(seed)
        found = [space.sample(rng) for _ in range(10)]
        found += [space.mutate(arch, rng) for arch in found]
        return found + [space.crossover(found[0], arch, rng) for arch in found]

    assert draw(3) == draw(3)
    if space.size > 100:
        assert draw(3) != draw(4)


def test_a_mutant_differs_unless_the_space_has_one_member(
    space: SearchSpace, rng: np.random.Generator
) -> None:
    for arch in [space.largest(), space.smallest(), space.sample(rng)]:
        mutants = [space.mutate(arch, rng) for _ in range(30)]
        assert all((mutant == arch) == (space.size == 1) for mutant in mutants)


def test_mutation_alone_reaches_much_of_the_space(
    space: SearchSpace, rng: np.random.Generator
) -> None:
    arch, seen = space.largest(), set()
    for _ in range(400):
        arch = space.mutate(arch, rng)
        seen.add(arch.id)
    assert len(seen) >= min(space.size, 40) * 0.9


def test_a_child_takes_each_active_gene_from_a_parent(
    space: SearchSpace, rng: np.random.Generator
) -> None:
    for _ in range(COUNT):
        first, second = space.sample(rng), space.sample(rng)
        child = space.crossover(first, second, rng)
        genes, a, b = (space.genome(arch) for arch in (child, first, second))
        assert ((genes == a) | (genes == b)).all()


def test_a_child_of_equal_parents_is_that_parent(
    space: SearchSpace, rng: np.random.Generator
) -> None:
    for arch in (space.largest(), space.smallest(), space.sample(rng)):
        assert space.crossover(arch, arch, rng) == arch


def test_the_extremes_bound_the_parameters(space: SearchSpace, members: list[Architecture]) -> None:
    counts = parameters(LayerTable.of([space.smallest(), *members, space.largest()]))
    assert counts.min() == counts[0]
    # A projection costs parameters, so only members with no more of them compare.
    most = projections(space.largest())
    comparable = [a for a in members if projections(a) <= most]
    assert (parameters(LayerTable.of([*comparable, space.largest()])) <= counts[-1]).all()


def test_uniform_members_are_distinct_and_equal_in_all_layers(space: SearchSpace) -> None:
    uniform = list(space.uniform())
    assert len({arch.id for arch in uniform}) == len(uniform)
    always = space.largest().layers[0].projected
    for arch in uniform:
        assert len({(layer.width, layer.sublayers) for layer in arch.layers}) == 1
        assert all(layer.projected == always for layer in arch.layers[1:])
    assert space.largest() in uniform
    smallest = space.smallest()
    assert smallest in uniform or smallest.layers[0].projected


def test_the_largest_member_is_the_source_up_to_projections(space: SearchSpace) -> None:
    largest = space.largest()
    bare = tuple(dataclasses.replace(layer, projected=False) for layer in largest.layers)
    assert dataclasses.replace(largest, layers=bare) == space.source
    assert projections(largest) in (0, len(bare))


def test_another_head_changes_nothing_else(space: SearchSpace) -> None:
    head = Head(kind="embedding", pooling="mean")
    other = space.with_head(head)
    assert other.source == space.source.with_head(head)
    assert other.size == space.size
    assert other.smallest() == space.smallest().with_head(head)
    assert not other.contains(space.smallest())


def test_size_counts_the_canonical_genomes(space: SearchSpace) -> None:
    if math.prod(space.gene_sizes) <= 20_000:
        every = np.array(list(itertools.product(*map(range, space.gene_sizes))), dtype=np.int64)
        assert len(np.unique(space.repair(every), axis=0)) == space.size


def test_strangers_are_not_contained(space: SearchSpace) -> None:
    arch = space.largest()
    head = Head(kind="classification", pooling="first", outputs=99)
    embedding = dataclasses.replace(arch.embedding, vocab_size=arch.embedding.vocab_size + 1)
    layers = arch.layers
    moved = dataclasses.replace(layers[0], source=layers[0].source + 1)
    projected = dataclasses.replace(layers[0], projected=not layers[0].projected)
    swapped = dataclasses.replace(layers[0], sublayers=layers[0].sublayers[::-1])
    strangers = [
        arch.with_head(head),
        dataclasses.replace(arch, embedding=embedding),
        dataclasses.replace(arch, norm_eps=0.01),
        dataclasses.replace(arch, layers=(*layers, layers[-1])),
        *(dataclasses.replace(arch, layers=(y, *layers[1:])) for y in (moved, projected, swapped)),
    ]
    for stranger in strangers:
        assert not space.contains(stranger)
        with pytest.raises(InputError, match=r"must be"):
            space.genome(stranger)
