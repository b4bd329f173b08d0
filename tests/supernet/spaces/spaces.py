"""Spaces to test with: several sizes, dimensions switched off, one member only."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator

from fleetfit import Architecture, Embedding, FeedForward, Head, Layer, SelfAttention
from supernet.spaces import (
    AutoTinyBertChoices,
    AutoTinyBertSpace,
    ElasticChoices,
    ElasticSpace,
    SearchSpace,
    SuperShaperChoices,
    SuperShaperSpace,
)


def source(
    *, depth: int = 3, heads: int = 4, ffn: int = 64, head: Head | None = None
) -> Architecture:
    """Equal layers 32 wide with heads of 8."""
    sublayers = (SelfAttention(heads=heads, head_dim=8), FeedForward(widths=(ffn,)))
    return Architecture(
        embedding=Embedding(vocab_size=100, width=32, max_positions=40, segments=2),
        layers=tuple(
            Layer(width=32, sublayers=sublayers, projected=False, source=i) for i in range(depth)
        ),
        head=head or Head(),
        activation="relu",
        norm_eps=1e-6,
    )


def minilm() -> Architecture:
    """The sizes of all-MiniLM-L6-v2: 6 layers, 384 wide, 12 heads, feed-forward 1536."""
    sublayers = (SelfAttention(heads=12, head_dim=32), FeedForward(widths=(1536,)))
    return Architecture(
        embedding=Embedding(vocab_size=30522, width=384, max_positions=512, segments=2),
        layers=tuple(
            Layer(width=384, sublayers=sublayers, projected=False, source=i) for i in range(6)
        ),
    )


def bert_base(*, depth: int = 12, vocab_size: int = 28_996) -> Architecture:
    """The sizes of BERT-base, with the cased vocabulary unless another is given."""
    sublayers = (SelfAttention(heads=12, head_dim=64), FeedForward(widths=(3072,)))
    return Architecture(
        embedding=Embedding(vocab_size=vocab_size, width=768, max_positions=512, segments=2),
        layers=tuple(
            Layer(width=768, sublayers=sublayers, projected=False, source=i) for i in range(depth)
        ),
    )


FULL = ElasticChoices(
    depths=(1, 2, 3), embedding_widths=(16, 32), widths=(16, 24, 32), heads=(1, 2, 4), ffns=(32, 64)
)


def _without(*names: str) -> ElasticSpace:
    """The full space with these dimensions fixed at their largest value."""
    fixed = {name: getattr(FULL, name)[-1:] for name in names}
    return ElasticSpace(source=source(), choices=dataclasses.replace(FULL, **fixed))


ELASTIC: dict[str, ElasticSpace] = {
    "full": ElasticSpace(source=source(), choices=FULL),
    "default": ElasticSpace.of(minilm()),
    "masked_lm": ElasticSpace(source=source(head=Head(kind="masked_lm")), choices=FULL),
    "classification": ElasticSpace(
        source=source(head=Head(kind="classification", pooling="mean", outputs=7)), choices=FULL
    ),
    "gap_in_depth": ElasticSpace(
        source=source(depth=5), choices=dataclasses.replace(FULL, depths=(2, 5))
    ),
    "no_depth": _without("depths"),
    "no_embedding": _without("embedding_widths"),
    "no_widths": _without("widths", "embedding_widths"),
    "depth_only": _without("embedding_widths", "widths", "heads", "ffns"),
    "embedding_only": _without("depths", "widths", "heads", "ffns"),
    "heads_only": _without("depths", "embedding_widths", "widths", "ffns"),
    "one_layer": ElasticSpace(
        source=source(depth=1), choices=dataclasses.replace(FULL, depths=(1,))
    ),
    "one_member": _without("depths", "embedding_widths", "widths", "heads", "ffns"),
}

SUPERSHAPER: dict[str, SuperShaperSpace] = {
    "supershaper": SuperShaperSpace(
        source=source(), choices=SuperShaperChoices(widths=(16, 24, 32))
    ),
    "supershaper_default": SuperShaperSpace.of(minilm()),
    "supershaper_masked_lm": SuperShaperSpace.of(source(head=Head(kind="masked_lm"))),
    "supershaper_one_layer": SuperShaperSpace.of(source(depth=1)),
    "supershaper_one_member": SuperShaperSpace(
        source=source(), choices=SuperShaperChoices(widths=(32,))
    ),
}

AUTOTINYBERT: dict[str, AutoTinyBertSpace] = {
    "autotinybert_whole": AutoTinyBertSpace.of(source()),
    "autotinybert_narrowed": AutoTinyBertSpace.of(source(), slicing="narrowed_heads"),
    "autotinybert_default": AutoTinyBertSpace.of(minilm()),
    "autotinybert_classification": AutoTinyBertSpace.of(
        source(depth=5, head=Head(kind="classification", pooling="mean", outputs=7)),
        slicing="narrowed_heads",
    ),
    "autotinybert_one_member": AutoTinyBertSpace(
        source=source(),
        choices=AutoTinyBertChoices(
            depths=(3,), widths=(32,), heads=(4,), head_dims=(8,), ffns=(64,)
        ),
    ),
}

SPACES: dict[str, SearchSpace] = {**ELASTIC, **SUPERSHAPER, **AUTOTINYBERT}


def every_member(space: ElasticSpace) -> Iterator[Architecture]:
    """All members of a small space, written out from its choices and not from its genome."""
    c = space.choices
    for depth, embedding in itertools.product(c.depths, c.embedding_widths):
        layers = itertools.product(c.widths, c.heads, c.ffns)
        for combination in itertools.product(list(layers), repeat=depth):
            yield space.build(embedding, combination)
