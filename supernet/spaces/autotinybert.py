"""The ``autotinybert`` space: one size for all layers, depth free, no projections."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np

from fleetfit.architecture import Architecture
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

__all__ = ["AutoTinyBertChoices", "AutoTinyBertSpace"]

_DIMENSIONS: Final = ("depths", "widths", "heads", "head_dims", "ffns")
_CHANCES: Final = np.array([0.25, 0.5, 0.25, 0.25, 0.5])
"""Of each dimension to change in a mutation (AutoTinyBERT's evolution)."""
_REACHES: Final = np.array([1, 1, 2, 2, 2])
"""How many choices up or down it goes then."""
_UNIFORM_VALUES: Final = 5
"""Of each dimension in ``uniform``: all members are uniform, too many to go through."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AutoTinyBertChoices:
    """The values of each dimension, ascending; heads x head_dim is the paper's d_qkv.

    Either ``heads`` or ``head_dims`` has one value: whole heads leave, or every head is narrowed.
    """

    TAGGED: ClassVar[bool] = True
    depths: tuple[int, ...]
    widths: tuple[int, ...]
    """Of the embedding and of all layers."""
    heads: tuple[int, ...]
    head_dims: tuple[int, ...]
    ffns: tuple[int, ...]

    def __post_init__(self) -> None:
        """Each dimension has ascending positive values; one way to make attention smaller."""
        check_ascending(self, _DIMENSIONS)
        if len(self.heads) > 1 and len(self.head_dims) > 1:
            raise InputError(
                "Heads or head_dims of the autotinybert space must have one value only, but got "
                f"{len(self.heads)} and {len(self.head_dims)}."
            )

    @classmethod
    def scaled_to(
        cls,
        source: Architecture,
        *,
        slicing: Slicing = "whole_heads",
        width_step: int = 4,
        ffn_step: int = 4,
    ) -> AutoTinyBertChoices:
        """AutoTinyBERT's grid: from a sixth of the width and 1/24 of the ffn in the given steps.

        ``whole_heads`` (its masked-LM mode): 1 head to all. ``narrowed_heads`` (its distillation
        mode): d_qkv from 15/64 of the source's in steps of the number of heads. The default steps
        are those of its supernet's training; its search takes 16 and 32.
        """
        shape = source_shape(source, "autotinybert")
        whole = slicing == "whole_heads"
        least_dim = shape.head_dim if whole else -(-15 * shape.head_dim // 64)
        return cls(
            depths=tuple(range(1, shape.depth + 1)),
            widths=_grid(shape.width, share=6, step=width_step),
            heads=tuple(range(1 if whole else shape.heads, shape.heads + 1)),
            head_dims=tuple(range(least_dim, shape.head_dim + 1)),
            ffns=_grid(shape.ffn, share=24, step=ffn_step),
        )


def _grid(largest: int, *, share: int, step: int) -> tuple[int, ...]:
    """Multiples of ``step`` from ``largest / share``, and ``largest``."""
    first = -(-largest // (share * step)) * step
    return (*range(first, largest, step), largest)


@dataclass(frozen=True, kw_only=True)
class AutoTinyBertSpace(SearchSpace):
    """Members have one (width, heads, head_dim, ffn) for all layers (arXiv 2107.13686).

    The embedding is as wide as the layers, so nothing is projected. A member of depth n keeps n
    layers of the source, spread evenly, as in the elastic space, so that it starts with the
    source's first and last; the paper takes the first n. Genome: an index into each of depths,
    widths, heads, head_dims and ffns.
    """

    choices: AutoTinyBertChoices

    def __post_init__(self) -> None:
        """The source is a plain BERT encoder and the largest member."""
        shape = source_shape(self.source, "autotinybert")
        ours = (shape.depth, shape.width, shape.heads, shape.head_dim, shape.ffn)
        theirs = tuple(values[-1] for values in self._values)
        if ours != theirs:
            raise InputError(
                "The largest choices must equal the source's depth, width, heads, head_dim and ffn "
                f"{ours}, but got {theirs}."
            )

    @classmethod
    def of(cls, source: Architecture, *, slicing: Slicing = "whole_heads") -> AutoTinyBertSpace:
        """The default space of a source model."""
        choices = AutoTinyBertChoices.scaled_to(source, slicing=slicing)
        return cls(source=source, choices=choices)

    @property
    def _values(self) -> tuple[tuple[int, ...], ...]:
        c = self.choices
        return (c.depths, c.widths, c.heads, c.head_dims, c.ffns)

    @property
    def slicing(self) -> Slicing:
        """See SearchSpace; with neither heads nor head_dims elastic both are the same."""
        return "narrowed_heads" if len(self.choices.head_dims) > 1 else "whole_heads"

    @property
    def gene_sizes(self) -> tuple[int, ...]:
        """See SearchSpace."""
        return tuple(len(values) for values in self._values)

    @property
    def size(self) -> int:
        """See SearchSpace."""
        return math.prod(self.gene_sizes)

    def build(self, depth: int, size: tuple[int, int, int, int]) -> Architecture:
        """``depth`` layers of this (width, heads, head_dim, ffn); not checked with the choices."""
        kept = kept_layers(len(self.source.layers), depth)
        layers = [plain_layer(size, projected=False, source=i) for i in kept]
        return resized(self.source, embedding_width=size[0], layers=layers)

    def genome(self, arch: Architecture) -> IntArray:
        """See SearchSpace."""
        attention, ffn = layer_shape(arch.layers[0], "autotinybert")
        size = (arch.layers[0].width, attention.heads, attention.head_dim, ffn)
        pairs = zip(self._values, (len(arch.layers), *size), strict=True)
        try:
            genes = np.array([values.index(v) for values, v in pairs], dtype=np.int64)
        except ValueError as exc:
            raise InputError(f"{arch.summary()} must be in the space, but is not: {exc}.") from exc
        if self.build(len(arch.layers), size) != arch:
            raise InputError(
                f"{arch.summary()} must be in the space, but its layers are not alike, or its "
                "head, sources, projections or vocabulary differ from the source's."
            )
        return genes

    def repair(self, genomes: IntArray) -> IntArray:
        """See SearchSpace."""
        return np.clip(genomes, 0, np.array(self.gene_sizes) - 1)

    def architecture(self, genome: IntArray) -> Architecture:
        """See SearchSpace."""
        genes = canonical(self, genome)
        depth, width, heads, head_dim, ffn = (
            values[gene] for values, gene in zip(self._values, genes, strict=True)
        )
        return self.build(depth, (width, heads, head_dim, ffn))

    def layer_table(self, genomes: IntArray) -> LayerTable:
        """See SearchSpace."""
        depth, width, heads, head_dim, ffn = (
            np.array(values)[genomes[:, i], None] for i, values in enumerate(self._values)
        )
        active = (np.arange(self.choices.depths[-1])[None, :] < depth).astype(np.int64)
        table = plain_table(self.source, active)
        table.embedding_width[:] = width[:, 0]
        table.width[:] = width * active
        table.width_before[:] = width * active
        table.heads[..., 0] = heads * active
        table.head_dim[..., 0] = head_dim * active
        for inner in (table.ff_first, table.ff_last, table.ff_sum):
            inner[..., 1] = ffn * active
        return table

    def sample(self, rng: np.random.Generator) -> Architecture:
        """Each dimension drawn by itself, all values equally likely, as the paper's training."""
        return self.architecture(rng.integers(0, self.gene_sizes))

    def mutate(self, arch: Architecture, rng: np.random.Generator) -> Architecture:
        """Some dimensions go a choice or two up or down, as in the paper's evolution."""
        if self.size == 1:
            return arch
        genome = self.genome(arch)
        while True:
            steps = rng.integers(-_REACHES, _REACHES + 1) * (rng.random(5) < _CHANCES)
            child = self.repair((genome + steps)[None])[0]
            if (child != genome).any():
                return self.architecture(child)

    def crossover(
        self, first: Architecture, second: Architecture, rng: np.random.Generator
    ) -> Architecture:
        """Each dimension from either parent; the paper's evolution has no crossover."""
        a, b = self.genome(first), self.genome(second)
        return self.architecture(np.where(rng.random(len(a)) < 0.5, a, b))

    def largest(self) -> Architecture:
        """See SearchSpace."""
        return self.architecture(np.array(self.gene_sizes) - 1)

    def smallest(self) -> Architecture:
        """See SearchSpace."""
        return self.architecture(np.zeros(5, dtype=np.int64))

    def uniform(self) -> Iterator[Architecture]:
        """See SearchSpace: every member is uniform, so at most five values of each dimension."""
        spread = [
            np.linspace(0, n - 1, min(n, _UNIFORM_VALUES)).round().astype(np.int64)
            for n in self.gene_sizes
        ]
        return (self.architecture(np.array(genes)) for genes in itertools.product(*spread))
