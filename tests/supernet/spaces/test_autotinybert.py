"""The autotinybert space: the paper's own numbers at BERT-base size, and what it refuses."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from fleetfit import (
    FeedForward,
    InputError,
    LayerTable,
    SelfAttention,
    dumps,
    loads,
    parameters,
)
from supernet.spaces import AutoTinyBertChoices, AutoTinyBertSpace, Slicing
from tests.supernet.spaces.spaces import AUTOTINYBERT, bert_base, minilm, source

SUPER_PLM = bert_base(depth=8, vocab_size=30_522)
SMALL = AutoTinyBertChoices(
    depths=(1, 3), widths=(16, 32), heads=(2, 4), head_dims=(8,), ffns=(32, 64)
)

# Name: layers, width, ffn, d_qkv, heads; millions of parameters in all and in the layers alone.
FOUND: dict[str, tuple[int, int, int, int, int, float, float]] = {
    "S1": (5, 564, 1054, 512, 8, 29.6, 11.8),
    "S2": (4, 396, 624, 384, 6, 16.9, 4.4),
    "S3": (4, 432, 384, 256, 4, 16.7, 3.1),
    "S4": (3, 320, 608, 256, 4, 12.2, 2.2),
    "KD-S1": (5, 564, 1024, 528, 12, 29.6, 11.8),
    "KD-S2": (5, 324, 600, 324, 12, 14.2, 4.1),
    "KD-S3": (5, 280, 512, 276, 12, 11.8, 3.0),
    "KD-S4": (4, 256, 480, 192, 12, 9.8, 1.8),
}
"""The networks that the paper's search found (comments of its released configurations)."""


def test_the_grids_of_training_at_bert_base() -> None:
    whole = AutoTinyBertChoices.scaled_to(SUPER_PLM)
    assert whole.depths == tuple(range(1, 9))
    assert whole.widths == tuple(range(128, 769, 4))
    assert whole.ffns == tuple(range(128, 3073, 4))
    assert (whole.heads, whole.head_dims) == (tuple(range(1, 13)), (64,))
    narrowed = AutoTinyBertChoices.scaled_to(SUPER_PLM, slicing="narrowed_heads")
    assert [12 * d for d in narrowed.head_dims] == list(range(180, 769, 12))
    assert narrowed.heads == (12,)
    assert dataclasses.replace(narrowed, heads=whole.heads, head_dims=whole.head_dims) == whole


@pytest.mark.parametrize(
    ("slicing", "steps", "size"),
    [
        ("whole_heads", (4, 4), 11_391_072),
        ("narrowed_heads", (4, 4), 47_462_800),
        ("whole_heads", (16, 32), 366_048),  # the grids of its search
        ("narrowed_heads", (16, 32), 1_525_200),
    ],
)
def test_sizes_of_the_papers_grids(slicing: Slicing, steps: tuple[int, int], size: int) -> None:
    choices = AutoTinyBertChoices.scaled_to(
        SUPER_PLM, slicing=slicing, width_step=steps[0], ffn_step=steps[1]
    )
    space = AutoTinyBertSpace(source=SUPER_PLM, choices=choices)
    assert space.size == size
    assert space.slicing == slicing


def test_grids_scale_to_other_sources() -> None:
    choices = AutoTinyBertChoices.scaled_to(minilm(), slicing="narrowed_heads")
    assert choices.depths == (1, 2, 3, 4, 5, 6)
    assert choices.widths == tuple(range(64, 385, 4))
    assert choices.ffns == tuple(range(64, 1537, 4))
    assert choices.head_dims == tuple(range(8, 33))
    odd = AutoTinyBertChoices.scaled_to(source(ffn=50))
    assert odd.widths == (8, 12, 16, 20, 24, 28, 32)
    assert odd.ffns == (*range(4, 50, 4), 50)


@pytest.mark.parametrize("name", FOUND)
def test_parameters_of_the_found_networks(name: str) -> None:
    depth, width, ffn, inner, heads, total, layers = FOUND[name]
    arch = AutoTinyBertSpace.of(SUPER_PLM).build(depth, (width, heads, inner // heads, ffn))
    count = int(parameters(LayerTable.of([arch]))[0])
    embedding = (30_522 + 512 + 2 + 2) * width
    pooler = width * width + width  # in the paper's count, no part of our encoder
    assert round((count + pooler) / 1e6, 1) == total
    assert (count - embedding) / 1e6 == pytest.approx(layers, abs=0.06)


@pytest.mark.parametrize("name", AUTOTINYBERT)
def test_members_are_alike_in_all_layers_and_never_projected(
    name: str, rng: np.random.Generator
) -> None:
    space = AUTOTINYBERT[name]
    for arch in [space.sample(rng) for _ in range(20)]:
        assert len({(y.width, y.sublayers) for y in arch.layers}) == 1
        assert not any(y.projected for y in arch.layers)
        assert arch.embedding.width == arch.width


def test_a_member_keeps_layers_of_the_source_as_in_the_elastic_space() -> None:
    space = AutoTinyBertSpace.of(minilm())
    kept = {d: [y.source for y in space.build(d, (64, 1, 32, 64)).layers] for d in (1, 3, 4, 6)}
    assert kept == {1: [5], 3: [0, 3, 5], 4: [0, 2, 3, 5], 6: [0, 1, 2, 3, 4, 5]}


def test_a_mutation_takes_small_steps(rng: np.random.Generator) -> None:
    space = AutoTinyBertSpace.of(minilm(), slicing="narrowed_heads")
    middle = space.architecture(np.array(space.gene_sizes) // 2)
    children = np.stack([space.genome(space.mutate(middle, rng)) for _ in range(300)])
    steps = children - space.genome(middle)
    assert np.abs(steps).max(axis=0).tolist() == [1, 1, 0, 2, 2]


def test_uniform_spreads_over_every_dimension() -> None:
    space = AutoTinyBertSpace.of(minilm())
    uniform = list(space.uniform())
    assert len(uniform) == 5 * 5 * 5 * 1 * 5
    assert {a.width for a in uniform} == {64, 144, 224, 304, 384}
    small = AutoTinyBertSpace(source=source(), choices=SMALL)
    assert len(list(small.uniform())) == small.size == 16


def test_choices_survive_json() -> None:
    assert loads(AutoTinyBertChoices, dumps(SMALL)) == SMALL


@pytest.mark.parametrize("values", [(), (2, 1), (1, 1), (0, 1)])
@pytest.mark.parametrize("name", ["depths", "widths", "heads", "head_dims", "ffns"])
def test_choices_must_ascend_from_one(name: str, values: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match=rf"AutoTinyBertChoices.{name} must be ascending"):
        dataclasses.replace(SMALL, **{name: values})


def test_heads_and_their_widths_are_not_both_elastic() -> None:
    with pytest.raises(InputError, match=r"Heads or head_dims .* one value only, but got 2 and 2"):
        dataclasses.replace(SMALL, head_dims=(4, 8))


@pytest.mark.parametrize(
    "fields",
    [
        {"depths": (1, 2)},
        {"widths": (16,)},
        {"heads": (2,)},
        {"head_dims": (4,)},
        {"ffns": (128,)},
    ],
)
def test_choices_that_do_not_fit_the_source_are_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="must equal the source's"):
        AutoTinyBertSpace(source=source(), choices=dataclasses.replace(SMALL, **fields))


def test_a_source_of_unequal_layers_is_refused() -> None:
    arch = source()
    other = dataclasses.replace(
        arch.layers[1],
        sublayers=(SelfAttention(heads=2, head_dim=8), FeedForward(widths=(64,))),
    )
    mixed = dataclasses.replace(arch, layers=(arch.layers[0], other, arch.layers[2]))
    with pytest.raises(InputError, match="autotinybert space must have equal layers"):
        AutoTinyBertSpace(source=mixed, choices=SMALL)
