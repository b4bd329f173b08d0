"""What the spaces around a plain BERT encoder share: checks, kept layers, the start of a table."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from fleetfit.architecture import Architecture, FeedForward, Layer, SelfAttention
from fleetfit.errors import InputError
from fleetfit.table import ATTENTION, FEED_FORWARD, HEADS, IntArray, LayerTable
from supernet.spaces.base import SearchSpace

__all__ = [
    "SourceShape",
    "canonical",
    "check_ascending",
    "kept_layers",
    "layer_shape",
    "plain_layer",
    "plain_table",
    "resized",
    "source_shape",
]


@dataclass(frozen=True, kw_only=True, slots=True)
class SourceShape:
    """The sizes of an encoder whose layers are all alike."""

    depth: int
    width: int
    heads: int
    head_dim: int
    ffn: int


def layer_shape(layer: Layer, space: str) -> tuple[SelfAttention, int]:
    """The attention and ffn width of a plain BERT layer; raises InputError for any other."""
    match layer.sublayers:
        case (SelfAttention() as attention, FeedForward(widths=(ffn,))):
            return attention, ffn
        case _:
            raise InputError(
                f"A layer of the {space} space must be SelfAttention and one FeedForward, but got "
                f"{[type(s).__name__ for s in layer.sublayers]}."
            )


def source_shape(source: Architecture, space: str) -> SourceShape:
    """The sizes of ``source``; raises InputError unless it is a plain BERT encoder."""
    shapes = {(y.width, *layer_shape(y, space)) for y in source.layers}
    if len(shapes) != 1 or any(y.projected for y in source.layers):
        raise InputError(f"The source of the {space} space must have equal layers, but has not.")
    sources = [y.source for y in source.layers]
    if sources != list(range(len(sources))):
        raise InputError(
            f"The layers of the source of the {space} space must be numbered from 0 in order, "
            f"but got {sources}."
        )
    width, attention, ffn = next(iter(shapes))
    return SourceShape(
        depth=len(sources),
        width=width,
        heads=attention.heads,
        head_dim=attention.head_dim,
        ffn=ffn,
    )


def check_ascending(choices: object, names: Iterable[str]) -> None:
    """Raise InputError unless each named dimension has ascending positive values."""
    for name in names:
        values = getattr(choices, name)
        if not values or list(values) != sorted(set(values)) or values[0] < 1:
            raise InputError(
                f"{type(choices).__name__}.{name} must be ascending whole numbers >= 1, "
                f"got {values}."
            )


def kept_layers(source_depth: int, depth: int) -> tuple[int, ...]:
    """The source layers that a member of ``depth`` keeps: spread evenly, both ends among them.

    A single layer is the source's last one.
    """
    last = source_depth - 1
    if depth == 1:
        return (last,)
    return tuple(int(np.floor(last * k / (depth - 1) + 0.5)) for k in range(depth))


def canonical(space: SearchSpace, genome: IntArray) -> IntArray:
    """``genome`` as an array; raises InputError unless it is canonical for ``space``."""
    genes = np.asarray(genome)
    whole = np.issubdtype(genes.dtype, np.integer) and genes.shape == (len(space.gene_sizes),)
    if not whole or (space.repair(genes[None])[0] != genes).any():
        raise InputError(
            f"A genome must be canonical for gene sizes {space.gene_sizes}, got {genome}."
        )
    return genes


def plain_layer(size: tuple[int, int, int, int], *, projected: bool, source: int) -> Layer:
    """A BERT layer of this (width, heads, head_dim, ffn)."""
    width, heads, head_dim, ffn = size
    sublayers = (SelfAttention(heads=heads, head_dim=head_dim), FeedForward(widths=(ffn,)))
    return Layer(width=width, sublayers=sublayers, projected=projected, source=source)


def resized(source: Architecture, *, embedding_width: int, layers: Iterable[Layer]) -> Architecture:
    """``source`` with another embedding width and other layers, all else as it is."""
    embedding = dataclasses.replace(source.embedding, width=embedding_width)
    return dataclasses.replace(source, embedding=embedding, layers=tuple(layers))


def plain_table(source: Architecture, active: IntArray) -> LayerTable:
    """A table of plain BERT layers where ``active`` (N x L) is 1; sizes are for the caller.

    Vocabulary, positions, segments, head and kinds are filled in.
    """
    n, depth = active.shape
    table = LayerTable.empty(n, depth, 2)
    table.vocab_size[:] = source.embedding.vocab_size
    table.max_positions[:] = source.embedding.max_positions
    table.segments[:] = source.embedding.segments
    table.head[:] = HEADS.index(source.head.kind)
    table.first[:] = source.head.pooling == "first"
    table.outputs[:] = source.head.outputs
    table.kind[..., 0] = ATTENTION * active
    table.kind[..., 1] = FEED_FORWARD * active
    return table
