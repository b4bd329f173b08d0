"""The supershaper space: the paper's own numbers at BERT-base size, and what it refuses."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest

from fleetfit import InputError, LayerTable, SelfAttention, dumps, loads, parameters
from supernet.spaces import SuperShaperChoices, SuperShaperSpace
from tests.supernet.spaces.spaces import SUPERSHAPER, bert_base, minilm, source

BERT_BASE = SuperShaperSpace.of(bert_base())
EVOLVED_63M = (480, 240, 360, 240, 540, 480, 360, 360, 360, 360, 540, 480)

# Millions of parameters in the paper's count: the widths that its authors drew by hand.
HAND_CRAFTED: dict[str, tuple[int, ...]] = {
    "37M": (120,) * 8 + (240,) * 4,
    "42M": (240,) + (120,) * 3 + (240,) * 8,
    "47M": (240,) + (120,) * 2 + (240,) * 5 + (360,) * 4,
    "56M": (360,) + (120,) * 3 + (360,) * 6 + (540,) * 2,
    "59M": (360,) + (240,) * 3 + (360,) * 6 + (540,) * 2,
    "61M": (360,) + (240,) * 3 + (360,) * 4 + (480,) * 2 + (540,) * 2,
    "70M": (480,) + (240,) * 3 + (480,) * 4 + (540,) * 2 + (600,) * 2,
    "87M": (540,) + (360,) * 3 + (540,) * 4 + (768,) * 4,
    "91M": (600,) + (360,) * 3 + (600,) * 4 + (768,) * 4,
}


def papers_own(widths: tuple[int, ...]) -> int:
    """The parameters that SuperShaper counts beyond ours; width w of the last layer.

    Its stream is 768 wide between layers, so there is a last map from w back to 768 (ours has
    none: a head reads w), a pooler 768 to 768 (ours is no part of the encoder), and 2 w more.
    Neither counts the masked-LM head. Embeddings, layers and folded projections are the same.
    """
    last = widths[-1]
    return (last * 768 + 768) + (768 * 768 + 768) + 2 * last


def papers_formula(widths: tuple[int, ...]) -> int:
    """SuperShaper's count at BERT-base with 28,996 words, projections folded, written out."""
    count = (28_996 + 514) * 768 + 1536
    for before, h in itertools.pairwise((768, *widths)):
        count += 4 * (h * h + h) + 2 * 3072 * h + 3072 + h + 4 * h  # attention, ffn, norms
        count += before * h + h  # the projection
    return count + papers_own(widths)


def test_bert_base_gives_the_papers_widths_and_size() -> None:
    assert BERT_BASE.choices.widths == (120, 240, 360, 480, 540, 600, 768)
    assert BERT_BASE.size == 7**12 == 13_841_287_201


def test_other_sources_keep_the_shares_in_multiples_of_their_heads() -> None:
    assert SuperShaperChoices.scaled_to(minilm()).widths == (60, 120, 180, 240, 264, 300, 384)
    assert SuperShaperChoices.scaled_to(source()).widths == (4, 8, 16, 20, 24, 32)


@pytest.mark.parametrize(
    ("widths", "exact", "millions"),
    [
        ((120,) * 12, 33_189_360, 33.2),
        ((360,) * 12, 58_078_800, 58.1),
        ((768,) * 12, 115_989_504, 116.0),
        (EVOLVED_63M, None, 63.4),
    ],
)
def test_parameters_are_the_papers_less_its_last_map_and_pooler(
    widths: tuple[int, ...], exact: int | None, millions: float
) -> None:
    ours = int(parameters(LayerTable.of([BERT_BASE.build(widths)]))[0])
    assert ours + papers_own(widths) == papers_formula(widths)
    assert exact is None or papers_formula(widths) == exact
    assert round(papers_formula(widths) / 1e6, 1) == millions


@pytest.mark.parametrize("name", sorted(HAND_CRAFTED))
def test_parameters_of_the_hand_crafted_networks_are_in_their_names(name: str) -> None:
    widths = HAND_CRAFTED[name]
    ours = int(parameters(LayerTable.of([BERT_BASE.build(widths)]))[0])
    assert f"{round((ours + papers_own(widths)) / 1e6)}M" == name


@pytest.mark.parametrize("name", SUPERSHAPER)
def test_members_are_all_projected_and_keep_heads_ffn_depth_and_embedding(
    name: str, rng: np.random.Generator
) -> None:
    space = SUPERSHAPER[name]
    like, ffn = space.source.layers[0].sublayers
    assert isinstance(like, SelfAttention)
    for arch in [space.sample(rng) for _ in range(20)]:
        assert arch.embedding == space.source.embedding
        assert [y.source for y in arch.layers] == list(range(len(space.source.layers)))
        for layer in arch.layers:
            attention = layer.sublayers[0]
            assert isinstance(attention, SelfAttention)
            assert layer.projected
            assert attention.heads == like.heads
            assert attention.heads * attention.head_dim == layer.width
            assert layer.sublayers[1] == ffn


def test_every_width_is_drawn_equally_often_in_every_layer(rng: np.random.Generator) -> None:
    genomes = np.stack([BERT_BASE.genome(BERT_BASE.sample(rng)) for _ in range(700)])
    for layer in range(12):
        counts = np.bincount(genomes[:, layer], minlength=7)
        assert counts.min() > 60
        assert counts.max() < 140


def test_a_mutation_redraws_two_in_five_widths(rng: np.random.Generator) -> None:
    origin = BERT_BASE.genome(BERT_BASE.largest())
    children = [BERT_BASE.genome(BERT_BASE.mutate(BERT_BASE.largest(), rng)) for _ in range(300)]
    # a seventh of the redrawn widths stay as they were
    assert np.mean(np.stack(children) != origin) == pytest.approx(0.4 * 6 / 7, abs=0.03)


def test_uniform_members_are_one_for_each_width() -> None:
    assert [a.width for a in BERT_BASE.uniform()] == list(BERT_BASE.choices.widths)


def test_a_member_without_one_projection_is_no_member() -> None:
    arch = BERT_BASE.largest()
    bare = dataclasses.replace(arch.layers[3], projected=False)
    assert not BERT_BASE.contains(
        dataclasses.replace(arch, layers=(*arch.layers[:3], bare, *arch.layers[4:]))
    )


def test_choices_survive_json() -> None:
    choices = BERT_BASE.choices
    assert loads(SuperShaperChoices, dumps(choices)) == choices


@pytest.mark.parametrize("widths", [(), (24, 16), (16, 16), (0, 16)])
def test_choices_must_ascend_from_one(widths: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match=r"SuperShaperChoices.widths must be ascending"):
        SuperShaperChoices(widths=widths)


@pytest.mark.parametrize(
    ("widths", "wanted"), [((16,), "largest choice must"), ((18, 32), "multiples of the 4 heads")]
)
def test_choices_that_do_not_fit_the_source_are_refused(
    widths: tuple[int, ...], wanted: str
) -> None:
    with pytest.raises(InputError, match=wanted):
        SuperShaperSpace(source=source(), choices=SuperShaperChoices(widths=widths))


def test_a_source_whose_heads_do_not_fill_its_width_is_refused() -> None:
    with pytest.raises(InputError, match="must fill its width 32"):
        SuperShaperSpace(source=source(heads=2), choices=SuperShaperChoices(widths=(32,)))
