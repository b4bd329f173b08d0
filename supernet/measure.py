"""What can be said of a sub-network without training it: the interface of an evaluation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from fleetfit.architecture import Architecture
from fleetfit.query import Precision

__all__ = ["Figure", "Measure"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Figure:
    """One number that a measure gives: how it is called and read."""

    name: str
    """In results and caches, as in ``hidden_loss``."""
    title: str
    """In tables, as in ``hidden loss``."""
    unit: str
    """``share`` is from 0 to 1; empty for a number without a unit."""
    lower_is_better: bool = True


class Measure(Protocol):
    """Figures of sub-networks of one supernet on fixed data; equal input, equal figures."""

    @property
    def figures(self) -> tuple[Figure, ...]:
        """What a call gives, in order."""

    @property
    def data_id(self) -> str:
        """16 hexadecimal digits over everything but the supernet that the figures depend on.

        With the checkpoint's sha256 the key of a cache: the data, what the figures are and what
        sub-networks are compared with.
        """

    def __call__(self, arch: Architecture, precision: Precision) -> dict[str, float]:
        """The finite value of each figure by its name."""
