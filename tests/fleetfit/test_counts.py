"""Exact counts: hand computation, the sum over weight shapes, published BERT sizes."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetfit import (
    Architecture,
    Embedding,
    FeedForward,
    Head,
    Layer,
    LayerTable,
    SelfAttention,
    Workload,
    macs,
    parameters,
    weight_shapes,
)
from tests.fleetfit.strategies import architectures, workloads
from tests.fleetfit.test_weights import ARCH


def bert(layers: int, width: int, heads: int) -> Architecture:
    sublayers = (
        SelfAttention(heads=heads, head_dim=width // heads),
        FeedForward(widths=(4 * width,)),
    )
    return Architecture(
        embedding=Embedding(vocab_size=30522, width=width, max_positions=512, segments=2),
        layers=tuple(
            Layer(width=width, sublayers=sublayers, projected=False, source=i)
            for i in range(layers)
        ),
    )


@given(st.lists(architectures(), min_size=1, max_size=4))
def test_parameters_equal_the_sum_over_weight_shapes(archs: list[Architecture]) -> None:
    wanted = [sum(math.prod(s) for s in weight_shapes(a).values()) for a in archs]
    assert parameters(LayerTable.of(archs)).tolist() == wanted


@pytest.mark.parametrize(
    ("arch", "wanted"),
    [
        # BERT base without its pooler (768 x 769): 109,482,240 - 590,592
        (bert(12, 768, 12), 108_891_648),
        # all-MiniLM-L6-v2 without its pooler (384 x 385): 22,713,216 - 147,840
        (bert(6, 384, 12), 22_565_376),
    ],
)
def test_parameters_of_known_models(arch: Architecture, wanted: int) -> None:
    assert parameters(LayerTable.of([arch])).tolist() == [wanted]


def test_macs_by_hand() -> None:
    # 3 sequences of 4 tokens through the network of test_weights
    tokens = 12
    counts = macs(LayerTable.of([ARCH]), Workload(batch=3, seq_len=4))
    assert counts.projections.tolist() == [tokens * 4 * 6]
    assert counts.attention_linear.tolist() == [tokens * 4 * 6 * 10]
    assert counts.attention_scores.tolist() == [3 * 2 * 4 * 4 * 10]  # scores, then values
    assert counts.feed_forward.tolist() == [tokens * (6 * 7 + 7 * 8 + 8 * 6)]
    assert counts.head.tolist() == [tokens * (6 * 4 + 4 * 5)]  # transform, tied decoder
    assert counts.total.tolist() == [288 + 2880 + 960 + 1752 + 528]


def test_macs_of_a_head_that_reads_the_first_token_by_hand() -> None:
    arch = ARCH.with_head(Head(kind="classification", pooling="first", outputs=5))
    counts = macs(LayerTable.of([arch]), Workload(batch=3, seq_len=4))
    assert counts.projections.tolist() == [12 * 4 * 6]
    assert counts.attention_linear.tolist() == [(12 * 2 + 3 * 2) * 6 * 10]  # key, value; q, output
    assert counts.attention_scores.tolist() == [3 * 2 * 1 * 4 * 10]
    assert counts.feed_forward.tolist() == [3 * (6 * 7 + 7 * 8 + 8 * 6)]


def test_no_networks_have_no_counts() -> None:
    assert macs(LayerTable.of([]), Workload()).total.tolist() == []


def test_layers_before_the_last_attention_are_computed_for_all_tokens() -> None:
    arch = bert(3, 64, 2).with_head(Head(kind="embedding", pooling="first"))
    shorter = bert(2, 64, 2).with_head(Head())
    workload = Workload(batch=2, seq_len=8)
    counts = macs(LayerTable.of([arch]), workload)
    before = macs(LayerTable.of([shorter]), workload)
    assert counts.feed_forward - before.feed_forward == [2 * 2 * 64 * 256]
    assert counts.attention_linear - before.attention_linear == [2 * (16 + 2) * 64 * 64]


@pytest.mark.parametrize(
    ("head", "wanted"),
    [
        (Head(), 0),
        (Head(kind="embedding", pooling="mean"), 0),
        (Head(kind="classification", pooling="mean", outputs=5), 3 * 6 * 5),  # once a sequence
        (Head(kind="span", outputs=2), 12 * 6 * 2),  # at every token
    ],
)
def test_macs_of_each_head_by_hand(head: Head, wanted: int) -> None:
    table = LayerTable.of([ARCH.with_head(head)])
    assert macs(table, Workload(batch=3, seq_len=4)).head.tolist() == [wanted]


@given(architectures(), workloads)
def test_macs_of_linear_maps_are_their_weights_times_tokens(
    arch: Architecture, workload: Workload
) -> None:
    arch = arch.with_head(Head())  # one that reads the first token alone needs less
    counts = macs(LayerTable.of([arch]), workload)
    maps = {n: math.prod(s) for n, s in weight_shapes(arch).items() if len(s) == 2}
    body = sum(count for name, count in maps.items() if name.startswith("layers."))
    linear = counts.projections + counts.attention_linear + counts.feed_forward
    assert linear.tolist() == [workload.batch * workload.seq_len * body]


@given(st.lists(architectures(), min_size=2, max_size=3))
def test_padding_with_empty_layers_changes_no_count(archs: list[Architecture]) -> None:
    together, workload = LayerTable.of(archs), Workload()
    for i, arch in enumerate(archs):
        alone = LayerTable.of([arch])
        assert parameters(together)[i] == parameters(alone)[0]
        assert macs(together, workload).total[i] == macs(alone, workload).total[0]


@given(architectures(), st.permutations(range(3)))
def test_counts_do_not_depend_on_the_order_of_rows(arch: Architecture, order: list[int]) -> None:
    archs = [arch.with_head(Head()), ARCH, bert(2, 64, 2)]
    table = LayerTable.of([archs[i] for i in order])
    wanted = {a.id: int(parameters(LayerTable.of([a]))[0]) for a in archs}
    pairs = zip(order, parameters(table).tolist(), strict=True)
    assert all(wanted[archs[i].id] == count for i, count in pairs)
