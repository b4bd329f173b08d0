"""The layer table: architectures of any space as padded integer arrays.

Counts, features and rooflines are computed from it for many networks at once. Shapes: N networks,
L layers, S sub-layers; an absent layer or sub-layer is all zeros.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from fleetfit.architecture import Architecture, FeedForward, SelfAttention, SubLayer
from fleetfit.errors import InputError

__all__ = ["ATTENTION", "FEED_FORWARD", "HEADS", "IntArray", "LayerTable"]

IntArray = npt.NDArray[np.int64]

ATTENTION: Final = 1
FEED_FORWARD: Final = 2
HEADS: Final = ("none", "masked_lm", "classification", "span", "embedding")


@dataclass(frozen=True, kw_only=True)
class LayerTable:
    """N architectures side by side."""

    vocab_size: IntArray
    """N; the same for the other fields of the embedding and the head."""
    embedding_width: IntArray
    max_positions: IntArray
    segments: IntArray
    head: IntArray
    """N; index into HEADS."""
    outputs: IntArray
    first: IntArray
    """N; 1 where the head reads the first token alone."""
    width: IntArray
    """N x L; 0 where there is no layer. Layers that exist stand first."""
    width_before: IntArray
    """N x L; width of the stream that enters the layer, before its projection."""
    projected: IntArray
    """N x L; 1 where a linear map stands before the layer."""
    kind: IntArray
    """N x L x S; 0 absent, ATTENTION or FEED_FORWARD; the same shape for what follows."""
    heads: IntArray
    head_dim: IntArray
    ff_first: IntArray
    """First inner width of a feed-forward stack."""
    ff_last: IntArray
    ff_sum: IntArray
    """Sum of the inner widths."""
    ff_products: IntArray
    """Sum of the products of neighbouring inner widths; 0 for a single inner layer."""

    def __len__(self) -> int:
        """Number of networks N."""
        return len(self.vocab_size)

    @property
    def last_width(self) -> IntArray:
        """N; width of the last hidden state."""
        last = np.maximum((self.width > 0).sum(axis=1) - 1, 0)
        return np.asarray(self.width[np.arange(len(self)), last])

    @property
    def last_attention(self) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
        """N x L x S: the last attention, and what follows it, of networks with ``first``.

        The first token alone asks there, and the rest is computed for it alone.
        """
        none = self.kind.shape[1] * self.kind.shape[2]
        attention = (self.kind == ATTENTION).reshape(len(self), none)
        place = np.arange(none)
        last = np.where(attention, place, -1).max(axis=1, initial=-1, keepdims=True)
        last = np.where(self.first[:, None] & (last >= 0), last, none)
        return (place == last).reshape(self.kind.shape), (place > last).reshape(self.kind.shape)

    def take(self, rows: IntArray | npt.NDArray[np.bool_]) -> LayerTable:
        """The chosen rows."""
        names = [f.name for f in dataclasses.fields(self)]
        return LayerTable(**{n: getattr(self, n)[rows] for n in names})

    @classmethod
    def of(cls, architectures: Sequence[Architecture]) -> LayerTable:
        """The table of any architectures, padded to the deepest."""
        n = len(architectures)
        depth = max((len(a.layers) for a in architectures), default=1)
        slots = max((len(y.sublayers) for a in architectures for y in a.layers), default=1)
        table = cls.empty(n, depth, slots)
        for row, arch in enumerate(architectures):
            _fill(table, row, arch)
        return table

    @classmethod
    def empty(cls, n: int, depth: int, slots: int) -> LayerTable:
        """All zeros."""
        shapes: dict[str, tuple[int, ...]] = {}
        for field in dataclasses.fields(cls):
            shapes[field.name] = (n, depth, slots)
        for name in ("width", "width_before", "projected"):
            shapes[name] = (n, depth)
        for name in _PER_NETWORK:
            shapes[name] = (n,)
        return cls(**{name: np.zeros(shape, dtype=np.int64) for name, shape in shapes.items()})


_PER_NETWORK = (
    "vocab_size",
    "embedding_width",
    "max_positions",
    "segments",
    "head",
    "outputs",
    "first",
)


def _fill(table: LayerTable, row: int, arch: Architecture) -> None:
    embedding = arch.embedding
    table.vocab_size[row] = embedding.vocab_size
    table.embedding_width[row] = embedding.width
    table.max_positions[row] = embedding.max_positions
    table.segments[row] = embedding.segments
    table.head[row] = HEADS.index(arch.head.kind)
    table.outputs[row] = arch.head.outputs
    table.first[row] = arch.head.pooling == "first"
    before = embedding.width
    for i, layer in enumerate(arch.layers):
        table.width[row, i] = layer.width
        table.width_before[row, i] = before
        table.projected[row, i] = layer.projected
        before = layer.width
        for j, sub in enumerate(layer.sublayers):
            _fill_sublayer(table, (row, i, j), sub)


def _fill_sublayer(table: LayerTable, at: tuple[int, int, int], sub: SubLayer) -> None:
    if isinstance(sub, SelfAttention):
        table.kind[at] = ATTENTION
        table.heads[at], table.head_dim[at] = sub.heads, sub.head_dim
    elif isinstance(sub, FeedForward):
        table.kind[at] = FEED_FORWARD
        table.ff_first[at], table.ff_last[at] = sub.widths[0], sub.widths[-1]
        table.ff_sum[at] = sum(sub.widths)
        table.ff_products[at] = sum(a * b for a, b in itertools.pairwise(sub.widths))
    else:
        raise InputError(
            "The layer table must be given SelfAttention and FeedForward sub-layers, "
            f"but got {type(sub).__name__}, which has no cost model yet."
        )
