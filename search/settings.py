"""How long and how widely the search looks."""

from __future__ import annotations

from dataclasses import dataclass

from fleetfit import InputError

__all__ = ["SearchSettings"]


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchSettings:
    """Sizes of the search; equal settings, equal result."""

    population: int = 48
    """Members of the first population and survivors of each generation."""
    offspring: int = 8
    """Candidates of each later generation."""
    pool: int = 96
    """Proposals drawn for each generation; the most promising are evaluated."""
    evaluations: int = 200
    """Candidates whose quality is asked at most, remembered ones included."""
    samples: int = 256
    """Random members whose cost is predicted for the feasibility table."""
    seed: int = 0

    def __post_init__(self) -> None:
        """Everything is at least 1, the seed at least 0."""
        for name in ("population", "offspring", "pool", "evaluations", "samples"):
            if getattr(self, name) < 1:
                raise InputError(f"`{name} >= 1` must hold, but got {getattr(self, name)}.")
        if self.seed < 0:
            raise InputError(f"`seed >= 0` must hold, but got {self.seed}.")
