"""Which sub-networks one optimizer step trains: a value, and a pure function of (seed, step)."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, assert_never

import numpy as np

from fleetfit.architecture import Architecture
from fleetfit.codec import check_literals
from fleetfit.errors import InputError
from supernet.spaces import SearchSpace

__all__ = ["Sampling"]

_STREAM = 1  # apart from the batch's draws, which follow (seed, step) alone


@dataclass(frozen=True, kw_only=True, slots=True)
class Sampling:
    """How the members of a step are chosen; the mean of their gradients is one update."""

    strategy: Literal["sandwich", "single_path", "batch_wise"] = "sandwich"
    """sandwich: the largest, the smallest and random ones (Yu & Huang 2019, sandwich rule);
    single_path: one random; batch_wise: several random on the same batch (AutoTinyBERT, Yin et al.
    2021).
    """
    random_members: int = 1
    ends_every: int = 1
    """The sandwich has its largest and smallest in every n-th step; with more random members
    in each the same cost reaches more of the space, and the ends still do not drift.
    """
    largest_weight: float = 1.0
    """Of the largest's loss against that of each other member of its step: what the others learn
    pulls it away from the source.
    """
    distribution: Literal["space", "independent"] = "space"
    """space: the space's own ``sample``, whose members lie near the useful front; independent:
    every gene uniform and apart from the others, as the papers draw them.
    """

    def __post_init__(self) -> None:
        """Every step trains at least one member, a single path exactly one."""
        check_literals(self)
        at_least = 0 if self.strategy == "sandwich" else 1
        if self.random_members < at_least:
            raise InputError(
                f"Random members must be >= {at_least} for {self.strategy}, but got "
                f"{self.random_members}."
            )
        if self.strategy == "single_path" and self.random_members != 1:
            raise InputError(
                "Random members of a single_path must be 1, but got "
                f"{self.random_members}; batch_wise takes more."
            )
        if self.ends_every < 1 or (self.ends_every > 1 and not self._may_leave_ends_out):
            raise InputError(
                "`ends_every >= 1` must hold, above 1 for a sandwich with random members only, "
                f"but got {self.ends_every}."
            )
        if self.largest_weight != 1 and self.strategy != "sandwich":
            raise InputError(
                f"`largest_weight` must be 1 for {self.strategy}, which has no largest network of "
                f"its own, but got {self.largest_weight}."
            )
        if not 0 < self.largest_weight < math.inf:
            raise InputError(
                f"`largest_weight > 0` must hold, and finite, but got {self.largest_weight}."
            )

    @property
    def always_largest(self) -> bool:
        """Whether every step has the largest member."""
        return self.strategy == "sandwich" and self.ends_every == 1

    @property
    def _may_leave_ends_out(self) -> bool:
        return self.strategy == "sandwich" and self.random_members > 0

    def members(self, space: SearchSpace, *, seed: int, step: int) -> dict[str, Architecture]:
        """The members of one step by name: ``largest``, ``smallest``, ``random0`` and on.

        Depends on nothing but the arguments, so all processes of a run draw the same, and a run
        that goes on draws what it would have drawn.
        """
        rng = np.random.default_rng([seed, step, _STREAM])
        drawn = {f"random{i}": self._draw(space, rng) for i in range(self.random_members)}
        if self.strategy == "sandwich" and step % self.ends_every == 0:
            return {"largest": space.largest(), "smallest": space.smallest(), **drawn}
        return drawn

    def shares(self, names: Iterable[str]) -> dict[str, float]:
        """What part of a step's gradient is of each of its members; they sum to 1."""
        weights = {name: self.largest_weight if name == "largest" else 1.0 for name in names}
        total = sum(weights.values())
        return {name: weight / total for name, weight in weights.items()}

    def _draw(self, space: SearchSpace, rng: np.random.Generator) -> Architecture:
        match self.distribution:
            case "space":
                return space.sample(rng)
            case "independent":
                genome = rng.integers(np.array(space.gene_sizes))
                return space.architecture(space.repair(genome[None])[0])
            case _:
                assert_never(self.distribution)
