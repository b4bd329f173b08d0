"""The contract of a search space."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np

from fleetfit.architecture import Architecture, Head
from fleetfit.errors import InputError
from fleetfit.table import IntArray, LayerTable

__all__ = ["SearchSpace", "Slicing"]

Slicing = Literal["whole_heads", "narrowed_heads"]
"""What members keep of the source's attention: fewer heads, or all heads with fewer dimensions."""


@dataclass(frozen=True, kw_only=True)
class SearchSpace(abc.ABC):
    """A finite set of architectures with one canonical genome each.

    Guarantees that the contract suite checks: every architecture that ``sample``, ``mutate``,
    ``crossover``, ``largest``, ``smallest`` and ``uniform`` return is contained;
    ``architecture(genome(a)) == a``; genes that an architecture does not use are zero; the
    layer table of genomes equals that of their architectures. Nothing here has state: randomness
    comes in as ``rng``.
    """

    source: Architecture
    """The encoder that every member is a slice of."""

    def with_head(self, head: Head) -> Self:
        """The same space under another head."""
        return dataclasses.replace(self, source=self.source.with_head(head))

    @property
    @abc.abstractmethod
    def slicing(self) -> Slicing:
        """How members are cut from the source's attention."""

    @property
    @abc.abstractmethod
    def gene_sizes(self) -> tuple[int, ...]:
        """Number of values of each gene; a genome has ``len(gene_sizes)`` integers from 0."""

    @property
    @abc.abstractmethod
    def size(self) -> int:
        """Number of distinct architectures, exact."""

    @abc.abstractmethod
    def genome(self, arch: Architecture) -> IntArray:
        """The canonical genome, shape G; raises InputError for an architecture not contained."""

    @abc.abstractmethod
    def repair(self, genomes: IntArray) -> IntArray:
        """The nearest canonical genomes (N x G): clipped to range, inactive genes zero."""

    @abc.abstractmethod
    def architecture(self, genome: IntArray) -> Architecture:
        """The architecture of a canonical genome; raises InputError for any other."""

    @abc.abstractmethod
    def layer_table(self, genomes: IntArray) -> LayerTable:
        """The layer table of canonical genomes N x G, vectorised."""

    @abc.abstractmethod
    def sample(self, rng: np.random.Generator) -> Architecture:
        """A random member, from the distribution that training uses."""

    @abc.abstractmethod
    def mutate(self, arch: Architecture, rng: np.random.Generator) -> Architecture:
        """A member near ``arch`` and different from it, unless the space has one member."""

    @abc.abstractmethod
    def crossover(
        self, first: Architecture, second: Architecture, rng: np.random.Generator
    ) -> Architecture:
        """A member each of whose active genes comes from one of its parents."""

    @abc.abstractmethod
    def largest(self) -> Architecture:
        """The member with the source's sizes, which computes what the source does.

        It is the source itself but for projections where the space always has them; those start
        as identity.
        """

    @abc.abstractmethod
    def smallest(self) -> Architecture:
        """The member with the least of everything."""

    @abc.abstractmethod
    def uniform(self) -> Iterator[Architecture]:
        """Members whose layers are all of one shape and, where it can be, as wide as the embedding.

        All of them, or an even spread with both ends of every dimension where they would be too
        many to go through.
        """

    def contains(self, arch: Architecture) -> bool:
        """Whether ``arch`` is a member."""
        try:
            self.genome(arch)
        except InputError:
            return False
        return True
