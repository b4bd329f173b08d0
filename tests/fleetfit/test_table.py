"""The layer table: one network field by field, padding, choosing rows."""

from __future__ import annotations

import dataclasses
import typing

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetfit import Architecture, Head, InputError, LayerTable, SpanConv
from fleetfit.table import ATTENTION, FEED_FORWARD, HEADS
from tests.fleetfit.strategies import architectures
from tests.fleetfit.test_weights import ARCH

NAMES = [field.name for field in dataclasses.fields(LayerTable)]


def test_one_network_field_by_field() -> None:
    table = LayerTable.of([ARCH])
    got = {name: getattr(table, name).tolist() for name in NAMES}
    assert got == {
        "vocab_size": [5],
        "embedding_width": [4],
        "max_positions": [9],
        "segments": [2],
        "head": [HEADS.index("masked_lm")],
        "outputs": [0],
        "first": [0],
        "width": [[6]],
        "width_before": [[4]],
        "projected": [[1]],
        "kind": [[[ATTENTION, FEED_FORWARD]]],
        "heads": [[[2, 0]]],
        "head_dim": [[[5, 0]]],
        "ff_first": [[[0, 7]]],
        "ff_last": [[[0, 8]]],
        "ff_sum": [[[0, 15]]],
        "ff_products": [[[0, 56]]],
    }


def test_every_head_kind_of_the_language_has_an_index() -> None:
    kinds = typing.get_args(typing.get_type_hints(Head)["kind"])
    assert sorted(HEADS) == sorted(kinds)


@given(st.lists(architectures(), min_size=1, max_size=4))
def test_rows_hold_their_network_and_zeros_behind_it(archs: list[Architecture]) -> None:
    table = LayerTable.of(archs)
    assert len(table) == len(archs)
    assert table.last_width.tolist() == [a.width for a in archs]
    for row, arch in enumerate(archs):
        depth = len(arch.layers)
        assert table.width[row, :depth].tolist() == [y.width for y in arch.layers]
        for name in NAMES:
            values = getattr(table, name)
            if values.ndim > 1:
                assert not values[row, depth:].any()


@given(st.lists(architectures(), min_size=1, max_size=4), st.data())
def test_take_chooses_rows_by_index_and_by_mask(
    archs: list[Architecture], data: st.DataObject
) -> None:
    table = LayerTable.of(archs)
    mask = np.array(data.draw(st.lists(st.booleans(), min_size=len(archs), max_size=len(archs))))
    by_mask, by_index = table.take(mask), table.take(np.flatnonzero(mask))
    for name in NAMES:
        wanted = getattr(table, name)[mask]
        assert (getattr(by_mask, name) == wanted).all()
        assert (getattr(by_index, name) == wanted).all()


def test_no_networks_give_an_empty_table() -> None:
    table = LayerTable.of([])
    assert len(table) == 0
    assert table.last_width.tolist() == []


def test_a_sublayer_without_a_cost_model_is_named() -> None:
    span = dataclasses.replace(ARCH.layers[0], sublayers=(SpanConv(kernel=3, heads=2),))
    with pytest.raises(InputError, match="but got SpanConv"):
        LayerTable.of([dataclasses.replace(ARCH, layers=(span,))])
