"""The architecture language: what is refused, what identity means, the round trip."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetfit import (
    Architecture,
    Embedding,
    FeedForward,
    Head,
    InputError,
    Layer,
    LinearTransform,
    SelfAttention,
    SeparableConv,
    SpanConv,
    dumps,
    loads,
)
from tests.fleetfit.strategies import all_sublayers, architectures, assert_round_trip, heads

FEED = FeedForward(widths=(8,))


@given(architectures(all_sublayers))
def test_round_trip(arch: Architecture) -> None:
    assert_round_trip(arch)
    assert loads(Architecture, dumps(arch)).id == arch.id


@given(architectures(all_sublayers), architectures(all_sublayers))
def test_ids_are_equal_exactly_where_values_are(a: Architecture, b: Architecture) -> None:
    assert (a.id == b.id) == (a == b)


@given(architectures(), st.integers(0, 20))
def test_the_source_of_weights_changes_the_id_but_not_the_cost_id(
    arch: Architecture, source: int
) -> None:
    first = dataclasses.replace(arch.layers[0], source=source)
    other = dataclasses.replace(arch, layers=(first, *arch.layers[1:]))
    assert other.cost_id == arch.cost_id
    assert (other.id == arch.id) == (source == arch.layers[0].source)


@given(architectures(), heads)
def test_with_head_changes_the_head_alone(arch: Architecture, head: Head) -> None:
    changed = arch.with_head(head)
    assert changed.head == head
    assert changed.with_head(arch.head) == arch


@pytest.mark.parametrize(
    ("build", "fields", "wrong"),
    [
        (SelfAttention, {"heads": 2, "head_dim": 8}, 0),
        (SeparableConv, {"kernel": 3}, 0),
        (SpanConv, {"kernel": 3, "heads": 2}, 1.0),
        (LinearTransform, {"kind": "dft", "heads": 2, "head_dim": 8}, -1),
        (Embedding, {"vocab_size": 9, "width": 8, "max_positions": 7, "segments": 2}, True),
    ],
)
def test_each_size_must_be_a_whole_number_from_one(
    build: Any, fields: dict[str, Any], wrong: object
) -> None:
    for name in fields.keys() - {"kind"}:
        with pytest.raises(InputError, match=f"{name} must be a whole number >= 1"):
            build(**{**fields, name: wrong})


@pytest.mark.parametrize("widths", [(), (0,), (8, -1), (1.5,)])
def test_inner_widths_must_be_whole_numbers_from_one(widths: tuple[Any, ...]) -> None:
    with pytest.raises(InputError, match="whole numbers >= 1"):
        FeedForward(widths=widths)


@pytest.mark.parametrize(
    "fields",
    [
        {"kind": "classification", "outputs": 2},
        {"kind": "embedding"},
        {"kind": "none", "pooling": "mean"},
        {"kind": "masked_lm", "pooling": "first"},
        {"kind": "classification", "pooling": "mean"},
        {"kind": "span"},
        {"kind": "embedding", "pooling": "mean", "outputs": 3},
        {"kind": "none", "outputs": 1},
        {"kind": "regression"},
        {"kind": "embedding", "pooling": "max"},
    ],
)
def test_a_head_that_does_not_exist_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=r"Head\.(kind|pooling|outputs) must"):
        Head(**fields)


@pytest.mark.parametrize(
    "fields",
    [
        {"width": 0},
        {"sublayers": ()},
        {"source": -1},
        {"source": 1.5},
        {"source": True},
        {"projected": 1},
    ],
)
def test_a_layer_that_makes_no_sense_is_refused(fields: dict[str, Any]) -> None:
    good: dict[str, Any] = {"width": 8, "sublayers": (FEED,), "projected": False, "source": 0}
    with pytest.raises(InputError, match=r"Layer\.(width|projected) must|A layer must have"):
        Layer(**{**good, **fields})


def test_the_width_may_change_only_behind_a_projection(tiny_source: Architecture) -> None:
    narrow = dataclasses.replace(tiny_source.layers[1], width=16)
    with pytest.raises(InputError, match=r"Layer 1 must be projected .* from 32 to 16"):
        dataclasses.replace(tiny_source, layers=(tiny_source.layers[0], narrow))
    projected = dataclasses.replace(narrow, projected=True)
    fits = dataclasses.replace(tiny_source, layers=(tiny_source.layers[0], projected))
    assert fits.width == 16


@pytest.mark.parametrize(
    "fields", [{"layers": ()}, {"norm_eps": 0}, {"norm_eps": 1}, {"activation": "swish"}]
)
def test_an_architecture_that_makes_no_sense_is_refused(
    tiny_source: Architecture, fields: dict[str, Any]
) -> None:
    with pytest.raises(InputError, match=r"at least one layer|norm_eps|activation"):
        dataclasses.replace(tiny_source, **fields)


def test_closed_sets_hold_inside_values_too() -> None:
    with pytest.raises(InputError, match=r"SelfAttention.score must be one of"):
        SelfAttention(heads=1, head_dim=1, score="cosine")  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"LinearTransform.kind must be one of"):
        LinearTransform(kind="dst", heads=1, head_dim=1)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"Embedding.positions must be one of"):
        Embedding(
            vocab_size=1,
            width=1,
            max_positions=1,
            segments=1,
            positions="rotary",  # type: ignore[arg-type]
        )


def test_a_file_with_a_wrong_field_inside_names_the_place(tiny_source: Architecture) -> None:
    data = json.loads(dumps(tiny_source))
    data["layers"][1]["sublayers"][0]["heads"] = "4"
    with pytest.raises(
        InputError, match=r"layers\[1\].sublayers\[0\].heads must be a whole number, but got '4'"
    ):
        loads(Architecture, json.dumps(data))


def test_summary_shows_each_run_of_equal_numbers_once(tiny_source: Architecture) -> None:
    assert tiny_source.summary() == "3L e32 d32 h4 f64"
    wide = dataclasses.replace(
        tiny_source.layers[2], sublayers=(tiny_source.layers[2].sublayers[0], FEED)
    )
    mixed = dataclasses.replace(tiny_source, layers=(*tiny_source.layers[:2], wide))
    assert mixed.summary() == "3L e32 d32 h4 f64,64,8"
