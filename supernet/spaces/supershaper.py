"""The ``supershaper`` space: the width of each layer free, a projection before every layer."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np

from fleetfit.architecture import Architecture
from fleetfit.errors import InputError
from fleetfit.table import IntArray, LayerTable
from supernet.spaces.base import SearchSpace, Slicing
from supernet.spaces.plain import (
    SourceShape,
    canonical,
    check_ascending,
    plain_layer,
    plain_table,
    resized,
    source_shape,
)

__all__ = ["SuperShaperChoices", "SuperShaperSpace"]

_OF_768: Final = (120, 240, 360, 480, 540, 600, 768)
"""The widths that SuperShaper chooses from at BERT-base."""
_REDRAWN: Final = 0.4
"""Chance of each width to be redrawn in a mutation (SuperShaper's evolution)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SuperShaperChoices:
    """The widths of a layer, ascending, each a multiple of the number of heads."""

    TAGGED: ClassVar[bool] = True
    widths: tuple[int, ...]

    def __post_init__(self) -> None:
        """Widths are ascending and positive."""
        check_ascending(self, ("widths",))

    @classmethod
    def scaled_to(cls, source: Architecture) -> SuperShaperChoices:
        """SuperShaper's shares of the source's width, rounded to multiples of its heads.

        BERT-base gives the paper's own seven widths.
        """
        shape = source_shape(source, "supershaper")
        head_dims = {max(1, round(shape.width * w / 768 / shape.heads)) for w in _OF_768}
        return cls(widths=tuple(sorted(shape.heads * head_dim for head_dim in head_dims)))


@dataclass(frozen=True, kw_only=True)
class SuperShaperSpace(SearchSpace):
    """Members are all layers of ``source``, each with a width of its own (arXiv 2110.04711).

    Every layer is projected, also where its width is that of the layer before; depth, ffn, number
    of heads and embedding width are the source's, and head_dim = width / heads. Genome: one index
    into the widths for each layer.

    The paper's code takes the first ``width`` rows of query, key and value and then cuts them into
    heads, so that the heads of a narrow member straddle those of the source. Here head i of a
    member is always the first part of head i of the source (``narrowed_heads``): each head goes on
    from one of the source's, and attention can be distilled head by head.
    """

    choices: SuperShaperChoices

    def __post_init__(self) -> None:
        """The source is a plain BERT encoder, and its heads divide every width."""
        shape, widths = self._shape, self.choices.widths
        if shape.heads * shape.head_dim != shape.width:
            raise InputError(
                "The heads of the source of the supershaper space must fill its width "
                f"{shape.width}, but got {shape.heads} heads of {shape.head_dim}."
            )
        if widths[-1] != shape.width:
            raise InputError(
                f"The largest choice must equal the source's width {shape.width}, "
                f"but got {widths[-1]}."
            )
        odd = [width for width in widths if width % shape.heads]
        if odd:
            raise InputError(
                f"Widths of the supershaper space must be multiples of the {shape.heads} heads, "
                f"but got {odd[0]}."
            )

    @classmethod
    def of(cls, source: Architecture) -> SuperShaperSpace:
        """The default space of a source model."""
        return cls(source=source, choices=SuperShaperChoices.scaled_to(source))

    @property
    def _shape(self) -> SourceShape:
        return source_shape(self.source, "supershaper")

    @property
    def slicing(self) -> Slicing:
        """See SearchSpace."""
        return "narrowed_heads"

    @property
    def gene_sizes(self) -> tuple[int, ...]:
        """See SearchSpace."""
        return (len(self.choices.widths),) * len(self.source.layers)

    @property
    def size(self) -> int:
        """See SearchSpace."""
        return math.prod(self.gene_sizes)

    def build(self, widths: Sequence[int]) -> Architecture:
        """The member with these widths, one for each layer; not checked against the choices."""
        shape = self._shape
        layers = [
            plain_layer((w, shape.heads, w // shape.heads, shape.ffn), projected=True, source=i)
            for i, w in enumerate(widths)
        ]
        return resized(self.source, embedding_width=shape.width, layers=layers)

    def genome(self, arch: Architecture) -> IntArray:
        """See SearchSpace."""
        widths = [layer.width for layer in arch.layers]
        fits = len(widths) == len(self.source.layers) and set(widths) <= set(self.choices.widths)
        if not fits or self.build(widths) != arch:
            raise InputError(
                f"{arch.summary()} must be in the space, but its widths {sorted(set(widths))}, "
                "depth or anything else differs from what the source and the choices give."
            )
        return np.array([self.choices.widths.index(w) for w in widths], dtype=np.int64)

    def repair(self, genomes: IntArray) -> IntArray:
        """See SearchSpace."""
        return np.clip(genomes, 0, len(self.choices.widths) - 1)

    def architecture(self, genome: IntArray) -> Architecture:
        """See SearchSpace."""
        return self.build([self.choices.widths[gene] for gene in canonical(self, genome)])

    def layer_table(self, genomes: IntArray) -> LayerTable:
        """See SearchSpace."""
        shape = self._shape
        table = plain_table(self.source, np.ones(genomes.shape, dtype=np.int64))
        width = np.array(self.choices.widths)[genomes]
        table.embedding_width[:] = shape.width
        table.width[:] = width
        table.width_before[:, 0] = shape.width
        table.width_before[:, 1:] = width[:, :-1]
        table.projected[:] = 1
        table.heads[..., 0] = shape.heads
        table.head_dim[..., 0] = width // shape.heads
        for inner in (table.ff_first, table.ff_last, table.ff_sum):
            inner[..., 1] = shape.ffn
        return table

    def sample(self, rng: np.random.Generator) -> Architecture:
        """Each width drawn by itself, all equally likely, as the paper's training does."""
        return self.build(rng.choice(self.choices.widths, size=len(self.source.layers)).tolist())

    def mutate(self, arch: Architecture, rng: np.random.Generator) -> Architecture:
        """Each width redrawn with probability 0.4, as the paper's evolution does."""
        if self.size == 1:
            return arch
        genome = self.genome(arch)
        while True:
            drawn = rng.integers(len(self.choices.widths), size=len(genome))
            child = np.where(rng.random(len(genome)) < _REDRAWN, drawn, genome)
            if (child != genome).any():
                return self.architecture(child)

    def crossover(
        self, first: Architecture, second: Architecture, rng: np.random.Generator
    ) -> Architecture:
        """Each width from either parent, as the paper's evolution does."""
        a, b = self.genome(first), self.genome(second)
        return self.architecture(np.where(rng.random(len(a)) < 0.5, a, b))

    def largest(self) -> Architecture:
        """See SearchSpace."""
        return self._even(self.choices.widths[-1])

    def smallest(self) -> Architecture:
        """See SearchSpace."""
        return self._even(self.choices.widths[0])

    def _even(self, width: int) -> Architecture:
        return self.build([width] * len(self.source.layers))

    def uniform(self) -> Iterator[Architecture]:
        """See SearchSpace; the embedding keeps the source's width."""
        return (self._even(width) for width in self.choices.widths)
