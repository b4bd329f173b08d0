"""The ``elastic`` space: depth, embedding width, and per layer width, heads and ffn."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from fleetfit.architecture import Architecture, Layer, SelfAttention
from fleetfit.errors import InputError
from fleetfit.table import IntArray, LayerTable
from supernet.spaces.base import SearchSpace, Slicing
from supernet.spaces.plain import (
    canonical,
    check_ascending,
    kept_layers,
    layer_shape,
    plain_layer,
    plain_table,
    resized,
    source_shape,
)

__all__ = ["ElasticChoices", "ElasticSpace"]

_PER_LAYER = ("widths", "heads", "ffns")


@dataclass(frozen=True, kw_only=True, slots=True)
class ElasticChoices:
    """The values of each dimension, ascending; a dimension with one value is not elastic."""

    depths: tuple[int, ...]
    embedding_widths: tuple[int, ...]
    widths: tuple[int, ...]
    heads: tuple[int, ...]
    ffns: tuple[int, ...]

    def __post_init__(self) -> None:
        """Each dimension has ascending positive values."""
        check_ascending(self, ("depths", "embedding_widths", *_PER_LAYER))

    @classmethod
    def scaled_to(cls, source: Architecture) -> ElasticChoices:
        """Every dimension elastic (design: thirds of heads, eighths of width...).

        Widths and ffn sizes are rounded to multiples of 16 and never exceed the source's.
        """
        attention, forward = _shape(source.layers[0])
        depth, width, heads, ffn = len(source.layers), source.width, attention.heads, forward
        widths = _rounded((width * k / 8 for k in range(4, 9)), width)
        return cls(
            depths=tuple(range((depth + 1) // 2, depth + 1)),
            embedding_widths=widths,
            widths=widths,
            heads=tuple(sorted({max(1, round(heads * k / 6)) for k in (2, 3, 4, 6)})),
            ffns=_rounded((ffn * k / 4 for k in range(1, 5)), ffn),
        )

    @classmethod
    def paying(cls, source: Architecture) -> ElasticChoices:
        """What ``convert`` takes: the dimensions that paid in training (docs/experiments.md).

        Depth from a third of the source's, embedding width and ffn; width and heads are fixed.
        """
        depth, every = len(source.layers), cls.scaled_to(source)
        return replace(
            every,
            depths=tuple(range(-(-depth // 3), depth + 1)),
            widths=every.widths[-1:],
            heads=every.heads[-1:],
        )


def _rounded(values: Iterator[float], largest: int) -> tuple[int, ...]:
    below = {min(largest, max(16, round(v / 16) * 16)) for v in values if v < largest}
    return tuple(sorted(below | {largest}))


@dataclass(frozen=True, kw_only=True)
class ElasticSpace(SearchSpace):
    """Members are slices of ``source``; projected exactly where the width changes.

    A member of depth n keeps n layers of the source, spread evenly, the first and the last among
    them (n > 1). Genome: depth, embedding width, then (width, heads, ffn) for each of the n
    layers, as indices into the choices.
    """

    choices: ElasticChoices

    def __post_init__(self) -> None:
        """The source is a plain BERT encoder and the largest member."""
        shape = source_shape(self.source, "elastic")
        ours = (shape.depth, self.source.embedding.width, shape.width, shape.heads, shape.ffn)
        c = self.choices
        theirs = (c.depths[-1], c.embedding_widths[-1], c.widths[-1], c.heads[-1], c.ffns[-1])
        if ours != theirs:
            raise InputError(
                "The largest choices must equal the source's depth, embedding width, width, heads "
                f"and ffn {ours}, but got {theirs}."
            )

    @classmethod
    def of(cls, source: Architecture) -> ElasticSpace:
        """The space of a source model with every dimension elastic."""
        return cls(source=source, choices=ElasticChoices.scaled_to(source))

    @property
    def slicing(self) -> Slicing:
        """See SearchSpace."""
        return "whole_heads"

    @property
    def gene_sizes(self) -> tuple[int, ...]:
        """See SearchSpace."""
        c = self.choices
        layer = tuple(len(getattr(c, name)) for name in _PER_LAYER)
        return (len(c.depths), len(c.embedding_widths), *(layer * c.depths[-1]))

    @property
    def size(self) -> int:
        """See SearchSpace."""
        c = self.choices
        per_layer = len(c.widths) * len(c.heads) * len(c.ffns)
        return sum(len(c.embedding_widths) * per_layer**depth for depth in c.depths)

    def kept_layers(self, depth: int) -> tuple[int, ...]:
        """The source layers that a member of ``depth`` keeps."""
        return kept_layers(len(self.source.layers), depth)

    def build(self, embedding_width: int, layers: Sequence[tuple[int, int, int]]) -> Architecture:
        """The member with these (width, heads, ffn) layers; not checked against the choices."""
        head_dim = _shape(self.source.layers[0])[0].head_dim
        before = embedding_width
        built = []
        for (width, heads, ffn), kept in zip(layers, self.kept_layers(len(layers)), strict=True):
            size = (width, heads, head_dim, ffn)
            built.append(plain_layer(size, projected=width != before, source=kept))
            before = width
        return resized(self.source, embedding_width=embedding_width, layers=built)

    def genome(self, arch: Architecture) -> IntArray:
        """See SearchSpace."""
        c = self.choices
        genes = np.zeros(len(self.gene_sizes), dtype=np.int64)
        try:
            genes[:2] = (
                c.depths.index(len(arch.layers)),
                c.embedding_widths.index(arch.embedding.width),
            )
            rows = [(y.width, _shape(y)[0].heads, _shape(y)[1]) for y in arch.layers]
            for i, row in enumerate(rows):
                values = zip((c.widths, c.heads, c.ffns), row, strict=True)
                genes[2 + 3 * i : 5 + 3 * i] = [choice.index(v) for choice, v in values]
        except ValueError as exc:
            raise InputError(f"{arch.summary()} must be in the space, but is not: {exc}.") from exc
        if self.build(arch.embedding.width, rows) != arch:
            raise InputError(
                f"{arch.summary()} must be in the space, but its head, sources, projections or "
                "vocabulary differ from the source's."
            )
        return genes

    def repair(self, genomes: IntArray) -> IntArray:
        """See SearchSpace."""
        clipped = np.clip(genomes, 0, np.array(self.gene_sizes) - 1)
        depth = np.array(self.choices.depths)[clipped[:, 0]]
        position = (np.arange(clipped.shape[1]) - 2) // 3
        return np.where(position[None, :] < depth[:, None], clipped, 0)

    def architecture(self, genome: IntArray) -> Architecture:
        """See SearchSpace."""
        genes = canonical(self, genome)
        c = self.choices
        rows = genes[2 : 2 + 3 * c.depths[genes[0]]].reshape(-1, 3)
        layers = [(c.widths[w], c.heads[h], c.ffns[f]) for w, h, f in rows]
        return self.build(c.embedding_widths[genes[1]], layers)

    def layer_table(self, genomes: IntArray) -> LayerTable:
        """See SearchSpace."""
        c = self.choices
        n, depth = len(genomes), c.depths[-1]
        active = np.arange(depth)[None, :] < np.array(c.depths)[genomes[:, 0]][:, None]
        table = plain_table(self.source, active.astype(np.int64))
        table.embedding_width[:] = np.array(c.embedding_widths)[genomes[:, 1]]
        rows = genomes[:, 2:].reshape(n, depth, 3)
        width = np.array(c.widths)[rows[..., 0]] * active
        table.width[:] = width
        table.width_before[:, 1:] = width[:, :-1]
        table.width_before[:, 0] = table.embedding_width
        table.width_before[:] *= active
        table.projected[:] = (table.width != table.width_before) & active
        table.heads[..., 0] = np.array(c.heads)[rows[..., 1]] * active
        table.head_dim[..., 0] = _shape(self.source.layers[0])[0].head_dim * active
        ffn = np.array(c.ffns)[rows[..., 2]] * active
        for inner in (table.ff_first, table.ff_last, table.ff_sum):
            inner[..., 1] = ffn
        return table

    def sample(self, rng: np.random.Generator) -> Architecture:
        """A random member; each dimension is the same in all layers with probability 1/2.

        Independent draws per layer lie far from the useful front: uniform networks are hard to
        beat. Widths vary along the layers in one step at most, since each change costs a
        projection, and the embedding is as wide as the first layer with probability 1/2.
        """
        c = self.choices
        depth = int(rng.choice(c.depths))
        widths = _mixed(rng, c.widths, depth)
        if len(set(widths)) > 1:
            cut = int(rng.integers(1, depth)) if depth > 1 else 0
            widths = [widths[0]] * cut + [widths[-1]] * (depth - cut)
        layers = list(
            zip(widths, _mixed(rng, c.heads, depth), _mixed(rng, c.ffns, depth), strict=True)
        )
        same = rng.random() < 0.5 and widths[0] in c.embedding_widths
        embedding = widths[0] if same else int(rng.choice(c.embedding_widths))
        return self.build(embedding, layers)

    def mutate(self, arch: Architecture, rng: np.random.Generator) -> Architecture:
        """One to three genes change; a gene of one layer, or of all layers at once.

        Layers that a greater depth adds are like the last one before.
        """
        if self.size == 1:
            return arch
        genome = self.genome(arch)
        while True:
            child = genome.copy()
            for _ in range(int(rng.integers(1, 4))):
                self._change(child, rng)
            child = self.repair(child[None])[0]
            if (child != genome).any():
                return self.architecture(child)

    def _change(self, genes: IntArray, rng: np.random.Generator) -> None:
        sizes = np.array(self.gene_sizes)
        kind = int(rng.integers(5))
        if kind < 2:
            before = self.choices.depths[genes[0]]
            genes[kind] = rng.integers(sizes[kind])
            added = self.choices.depths[genes[0]] - before
            if added > 0:
                end = 2 + 3 * before
                genes[end : end + 3 * added] = np.tile(genes[end - 3 : end], added)
            return
        column = slice(kind, None, 3)  # the gene of this kind in every layer
        if rng.random() < 0.3:
            genes[column] = rng.integers(sizes[kind])
        else:
            layer = int(rng.integers(self.choices.depths[genes[0]]))
            genes[kind + 3 * layer] = rng.integers(sizes[kind])

    def crossover(
        self, first: Architecture, second: Architecture, rng: np.random.Generator
    ) -> Architecture:
        """Depth from one parent; every other gene from either, where the parent has it."""
        a, b = self.genome(first), self.genome(second)
        if rng.random() < 0.5:
            a, b = b, a
        reach = 2 + 3 * min(self.choices.depths[a[0]], self.choices.depths[b[0]])
        take = rng.random(len(a)) < 0.5
        take[0] = False
        take[reach:] = False
        return self.architecture(self.repair(np.where(take, b, a)[None])[0])

    def largest(self) -> Architecture:
        """See SearchSpace."""
        return self._extreme(lambda values: values[-1])

    def smallest(self) -> Architecture:
        """See SearchSpace."""
        return self._extreme(lambda values: values[0])

    def _extreme(self, pick: Callable[[tuple[int, ...]], int]) -> Architecture:
        c = self.choices
        layer = (pick(c.widths), pick(c.heads), pick(c.ffns))
        return self.build(pick(c.embedding_widths), [layer] * pick(c.depths))

    def uniform(self) -> Iterator[Architecture]:
        """See SearchSpace; where no embedding width fits a width, the nearest one stands."""
        c = self.choices
        for depth, width, heads, ffn in itertools.product(c.depths, c.widths, c.heads, c.ffns):
            embedding = min(c.embedding_widths, key=lambda e: abs(e - width))
            yield self.build(embedding, [(width, heads, ffn)] * depth)


def _mixed(rng: np.random.Generator, values: tuple[int, ...], depth: int) -> list[int]:
    """One value for all layers, or one for each, with equal probability."""
    if rng.random() < 0.5:
        return [int(rng.choice(values))] * depth
    return [int(v) for v in rng.choice(values, size=depth)]


def _shape(layer: Layer) -> tuple[SelfAttention, int]:
    return layer_shape(layer, "elastic")
