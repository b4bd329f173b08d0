"""What trainings on labelled texts share: the order of batches, the rate, the best epoch."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from fleetfit.errors import SurroundingsError

__all__ = ["Best", "batches_of", "check_finite", "rise_and_fall"]

T = TypeVar("T")


def batches_of(lengths: Sequence[int], size: int, rng: np.random.Generator) -> Iterator[list[int]]:
    """Indices of texts in a random order in which those of like length share a batch.

    ``lengths``: tokens of each text; a batch has ``size`` of them or, now and then, fewer.
    """
    order = rng.permutation(len(lengths))
    pool = size * 16
    batches = []
    for i in range(0, len(order), pool):
        near = sorted(order[i : i + pool].tolist(), key=lambda r: lengths[r])
        batches += [near[j : j + size] for j in range(0, len(near), size)]
    for k in rng.permutation(len(batches)):
        yield batches[k]


def rise_and_fall(warmup: float, steps: int) -> Callable[[int], float]:
    """Share of the peak rate at each step: rising over ``warmup`` of them, then falling."""
    rising = max(1.0, warmup * steps)
    return lambda step: min((step + 1) / rising, max(0.0, (steps - step) / max(1, steps - rising)))


def check_finite(norm: float, *, step: int, rate: float) -> None:
    """Raise SurroundingsError where the norm of the gradient at ``step`` is not finite."""
    if not math.isfinite(norm):
        raise SurroundingsError(
            f"Losses must stay finite, but step {step} at learning rate {rate:.2g} gave none; "
            "nothing was written: start again with a lower rate."
        )


@dataclass(kw_only=True)
class Best(Generic[T]):
    """What is kept of the best epoch so far, and how many came after it."""

    kept: T
    """What there was at the start, before the first."""
    score: float = -math.inf
    since: int = 0

    def improves(self, score: float) -> bool:
        """Another epoch; whether it is the best so far, and ``kept`` to be replaced."""
        better = score > self.score
        self.score, self.since = (score, 0) if better else (self.score, self.since + 1)
        return better

    def __str__(self) -> str:
        """For a line of progress."""
        return "dev -" if self.score == -math.inf else f"dev {self.score:.3f}"
