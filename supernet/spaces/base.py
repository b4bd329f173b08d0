"""The contract of a search space."""

from __future__ import annotations

import abc
from collections.abc import Iterator

import numpy as np

from fleetfit.architecture import Architecture
from fleetfit.errors import InputError
from fleetfit.table import IntArray, LayerTable

__all__ = ["SearchSpace"]


class SearchSpace(abc.ABC):
    """A finite set of architectures with one canonical genome each.

    Guarantees that the contract suite checks: every architecture that ``sample``, ``mutate``,
    ``crossover``, ``largest``, ``smallest`` and ``uniform`` return is contained;
    ``architecture(genome(a)) == a``; genes that an architecture does not use are zero; the
    layer table of genomes equals that of their architectures. Nothing here has state: randomness
    comes in as ``rng``.
    """

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
        """The member that equals the source model."""

    @abc.abstractmethod
    def smallest(self) -> Architecture:
        """The member with the least of everything."""

    @abc.abstractmethod
    def uniform(self) -> Iterator[Architecture]:
        """All members whose layers are all of the same shape and width as the embedding."""

    def contains(self, arch: Architecture) -> bool:
        """Whether ``arch`` is a member."""
        try:
            self.genome(arch)
        except InputError:
            return False
        return True
