"""The elastic space: its choices against the design, its size and members against brute force."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import numpy as np
import pytest

from fleetfit import (
    Architecture,
    FeedForward,
    Head,
    InputError,
    LayerTable,
    SelfAttention,
    dumps,
    loads,
    parameters,
)
from supernet.spaces import ElasticChoices, ElasticSpace
from tests.supernet.spaces.spaces import ELASTIC, FULL, every_member, minilm, source

SMALL = sorted(name for name, space in ELASTIC.items() if space.size < 13_000)


def test_choices_scaled_to_minilm_as_in_the_design_section_4() -> None:
    assert ElasticChoices.scaled_to(minilm()) == ElasticChoices(
        depths=(3, 4, 5, 6),
        embedding_widths=(192, 240, 288, 336, 384),
        widths=(192, 240, 288, 336, 384),
        heads=(4, 6, 8, 12),
        ffns=(384, 768, 1152, 1536),
    )


def test_the_default_of_convert_has_the_dimensions_that_paid() -> None:
    assert ElasticChoices.paying(minilm()) == ElasticChoices(
        depths=(2, 3, 4, 5, 6),
        embedding_widths=(192, 240, 288, 336, 384),
        widths=(384,),
        heads=(12,),
        ffns=(384, 768, 1152, 1536),
    )
    assert ElasticChoices.paying(source(depth=1)).depths == (1,)


def test_size_of_the_space_of_every_dimension_by_hand() -> None:
    # 5 embedding widths, 5 x 4 x 4 = 80 layers, depths 3 to 6
    assert ElasticSpace.of(minilm()).size == 5 * (80**3 + 80**4 + 80**5 + 80**6)


@pytest.mark.parametrize(("depth", "heads"), [(1, 1), (3, 4), (5, 3), (7, 5)])
def test_choices_scale_to_odd_sources(depth: int, heads: int) -> None:
    arch = source(depth=depth, heads=heads, ffn=100)
    choices = ElasticChoices.scaled_to(arch)
    assert choices.depths == tuple(range(-(-depth // 2), depth + 1))
    assert choices.widths == (16, 32)
    assert choices.ffns == (32, 48, 80, 100)
    assert choices.heads[-1] == heads
    assert choices.heads[0] >= max(1, heads // 3)
    assert ElasticSpace.of(arch).largest() == arch


@pytest.mark.parametrize("name", sorted(ELASTIC))
def test_the_largest_member_equals_the_source(name: str) -> None:
    space = ELASTIC[name]
    assert space.largest() == space.source


def test_the_smallest_member_has_the_least_of_everything() -> None:
    arch = ELASTIC["full"].smallest()
    assert arch.summary() == "1L e16 d16 h1 f32"
    assert not arch.layers[0].projected


@pytest.mark.parametrize(
    ("layers", "depth", "kept"),
    [
        (6, 6, (0, 1, 2, 3, 4, 5)),
        (6, 5, (0, 1, 3, 4, 5)),
        (6, 4, (0, 2, 3, 5)),
        (6, 3, (0, 3, 5)),
        (6, 2, (0, 5)),
        (6, 1, (5,)),
        (12, 6, (0, 2, 4, 7, 9, 11)),
    ],
)
def test_kept_layers_are_spread_evenly(layers: int, depth: int, kept: tuple[int, ...]) -> None:
    space = ElasticSpace.of(source(depth=layers))
    assert space.kept_layers(depth) == kept


@pytest.mark.parametrize("depth", range(1, 25))
def test_kept_layers_are_distinct_and_hold_both_ends(depth: int) -> None:
    space = ElasticSpace.of(source(depth=24))
    kept = space.kept_layers(depth)
    assert len(set(kept)) == depth
    assert list(kept) == sorted(kept)
    assert kept[-1] == 23
    assert depth == 1 or kept[0] == 0


@pytest.mark.parametrize("name", SMALL)
def test_size_and_members_equal_brute_force(name: str) -> None:
    space = ELASTIC[name]
    members = list(every_member(space))
    assert len({arch.id for arch in members}) == len(members) == space.size
    genomes = np.stack([space.genome(arch) for arch in members])
    assert len(np.unique(genomes, axis=0)) == space.size


@pytest.mark.parametrize("name", SMALL)
def test_uniform_holds_every_member_of_one_shape_and_width(name: str) -> None:
    space = ELASTIC[name]
    wanted = {
        arch.id
        for arch in every_member(space)
        if len({(y.width, y.sublayers) for y in arch.layers}) == 1
        and arch.embedding.width == arch.width
    }
    got = {a.id for a in space.uniform() if a.embedding.width == a.width}
    assert got == wanted


def test_uniform_takes_the_nearest_embedding_where_none_fits() -> None:
    pairs = {(a.width, a.embedding.width) for a in ELASTIC["full"].uniform()}
    assert pairs == {(16, 16), (24, 16), (32, 32)}


def test_members_are_projected_exactly_where_the_width_changes(rng: np.random.Generator) -> None:
    space = ELASTIC["full"]
    for _ in range(100):
        arch = space.architecture(
            space.repair(rng.integers(0, space.gene_sizes, size=(1, len(space.gene_sizes))))[0]
        )
        widths = [arch.embedding.width, *(y.width for y in arch.layers)]
        changes = [a != b for a, b in itertools.pairwise(widths)]
        assert [y.projected for y in arch.layers] == changes


def test_members_keep_what_is_not_elastic(rng: np.random.Generator) -> None:
    space = ELASTIC["classification"]
    arch = space.sample(rng)
    assert arch.head == space.source.head
    assert (arch.activation, arch.norm_eps) == ("relu", 1e-6)
    assert arch.embedding.vocab_size == 100
    attention = arch.layers[0].sublayers[0]
    assert isinstance(attention, SelfAttention)
    assert attention.head_dim == 8


def test_sampled_widths_change_once_at_most_behind_the_embedding(rng: np.random.Generator) -> None:
    space = ELASTIC["default"]
    archs = [space.sample(rng) for _ in range(300)]
    steps = [sum(y.projected for y in arch.layers[1:]) for arch in archs]
    assert max(steps) == 1
    same = np.mean([not arch.layers[0].projected for arch in archs])
    assert 0.5 <= same <= 0.7  # one half by design, one fifth of the rest by chance
    assert {len(arch.layers) for arch in archs} == {3, 4, 5, 6}


def test_a_deeper_mutant_copies_the_last_layer(rng: np.random.Generator) -> None:
    choices = dataclasses.replace(FULL, embedding_widths=(32,), heads=(4,), ffns=(64,))
    space = ElasticSpace(source=source(), choices=choices)
    parent = space.build(32, [(24, 4, 64)])
    deeper = {len(a.layers) for a in (space.mutate(parent, rng) for _ in range(200))}
    assert deeper == {1, 2, 3}
    copies = [
        a
        for a in (space.mutate(parent, rng) for _ in range(300))
        if len(a.layers) > 1 and a.layers[0].width == 24
    ]
    # Only a further change of the same mutation makes them differ.
    assert np.mean([{y.width for y in a.layers} == {24} for a in copies]) > 0.5


def test_with_head_swaps_the_head_of_every_member(rng: np.random.Generator) -> None:
    space = ELASTIC["full"].with_head(Head(kind="embedding", pooling="mean"))
    assert space.sample(rng).head.kind == "embedding"
    assert space.size == ELASTIC["full"].size


def test_layer_table_is_vectorised(rng: np.random.Generator) -> None:
    space = ELASTIC["default"]
    genomes = space.repair(rng.integers(0, space.gene_sizes, size=(20_000, len(space.gene_sizes))))
    counts = parameters(space.layer_table(genomes))
    some = rng.integers(len(genomes), size=20)
    archs = [space.architecture(genomes[i]) for i in some]
    assert counts[some].tolist() == parameters(LayerTable.of(archs)).tolist()


def test_choices_survive_json() -> None:
    assert loads(ElasticChoices, dumps(FULL)) == FULL


@pytest.mark.parametrize("values", [(), (2, 1), (1, 1), (0, 1)])
@pytest.mark.parametrize("name", ["depths", "embedding_widths", "widths", "heads", "ffns"])
def test_choices_must_ascend_from_one(name: str, values: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match=rf"ElasticChoices.{name} must be ascending"):
        dataclasses.replace(FULL, **{name: values})


@pytest.mark.parametrize(
    "fields",
    [
        {"depths": (1, 2)},
        {"depths": (1, 4)},
        {"embedding_widths": (16,)},
        {"widths": (32, 48)},
        {"heads": (2,)},
        {"ffns": (128,)},
    ],
)
def test_choices_that_do_not_fit_the_source_are_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="must equal the source's"):
        ElasticSpace(source=source(), choices=dataclasses.replace(FULL, **fields))


def _with_first_layer(**fields: Any) -> Architecture:
    arch = source()
    return dataclasses.replace(
        arch, layers=(dataclasses.replace(arch.layers[0], **fields), *arch.layers[1:])
    )


@pytest.mark.parametrize(
    "fields",
    [
        {"projected": True},
        {"source": 1},
        {"sublayers": (FeedForward(widths=(64,)),)},
        {"sublayers": (SelfAttention(heads=4, head_dim=8), FeedForward(widths=(64, 64)))},
        {"sublayers": (SelfAttention(heads=2, head_dim=8), FeedForward(widths=(64,)))},
        {"sublayers": (SelfAttention(heads=4, head_dim=4), FeedForward(widths=(64,)))},
    ],
)
def test_a_source_that_is_not_a_plain_encoder_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=r"elastic space must|largest choices must"):
        ElasticSpace(source=_with_first_layer(**fields), choices=FULL)
