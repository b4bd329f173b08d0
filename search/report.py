"""Rows for the result table, and the paired difference of two networks' losses."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from fleetfit import InputError
from search.result import Evaluated, SearchResult

__all__ = ["PairedGain", "paired_gain", "result_rows"]

Role = Literal["winner", "uniform", "front", "source"]
"""winner; uniform: the best uniform network; front; source: the unshrunk source model."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PairedGain:
    """How much lower one network's loss is than another's on the same items."""

    gain: float
    """Mean difference, rival minus ours; above 0 where ours is better."""
    se: float
    """Standard error of that mean over the items."""


def result_rows(
    result: SearchResult, *, front: int | None = None
) -> tuple[tuple[Role, Evaluated], ...]:
    """Winner, best uniform network, the front fastest first, the source model in every target.

    ``front``: at most so many of the front, spread evenly; None: all.
    """
    members = [e for e in result.front if e is not result.winner]
    if front is not None and len(members) > front:
        at = np.linspace(0, len(members) - 1, front).round().tolist()
        members = [members[int(k)] for k in at]
    uniform = () if result.best_uniform is None else (result.best_uniform,)
    parts: tuple[tuple[Role, Sequence[Evaluated]], ...] = (
        ("winner", (result.winner,)),
        ("uniform", uniform),
        ("front", members),
        ("source", result.source),
    )
    return tuple((role, e) for role, found in parts for e in found)


def paired_gain(ours: Sequence[float], rival: Sequence[float]) -> PairedGain:
    """Mean and standard error of ``rival - ours`` over items (decision 11)."""
    if len(ours) != len(rival) or len(ours) < 2:
        raise InputError(
            "Paired losses must be of the same two or more items, but there are "
            f"{len(ours)} and {len(rival)}."
        )
    difference = np.asarray(rival, dtype=np.float64) - np.asarray(ours, dtype=np.float64)
    if not np.isfinite(difference).all():
        raise InputError("Paired losses must be finite, but one is not.")
    se = float(difference.std(ddof=1)) / math.sqrt(len(difference))
    return PairedGain(gain=float(difference.mean()), se=se)
