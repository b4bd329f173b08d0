"""Rows for the result table, and the paired difference of two networks' losses."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from fleetfit import InputError, Metric
from search.candidate import Candidate
from search.cost import Estimate
from search.result import Evaluated, SearchResult

__all__ = ["PairedGain", "Row", "paired_gain", "result_rows"]

Role = Literal["winner", "uniform", "front", "source"]


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the result table."""

    role: Role
    """winner; uniform: the best uniform network; front; source: the unshrunk source model."""
    candidate: Candidate
    loss: float
    costs: Mapping[Metric, Estimate]
    """Predicted, SI units."""
    feasible: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class PairedGain:
    """How much lower one network's loss is than another's on the same items."""

    gain: float
    """Mean difference, rival minus ours; above 0 where ours is better."""
    se: float
    """Standard error of that mean over the items."""


def result_rows(result: SearchResult, *, front: int | None = None) -> tuple[Row, ...]:
    """Winner, best uniform network, the front fastest first, the source model in every target.

    ``front``: at most so many of the front, spread evenly; None: all.
    """
    members = [e for e in result.front if e is not result.winner]
    if front is not None and len(members) > front:
        at = np.linspace(0, len(members) - 1, front).round().tolist()
        members = [members[int(k)] for k in at]
    uniform = result.best_uniform
    rows = [_row("winner", result.winner)]
    rows += [_row("uniform", uniform)] if uniform is not None else []
    rows += [_row("front", e) for e in members]
    return (*rows, *(_row("source", e) for e in result.source))


def _row(role: Role, found: Evaluated) -> Row:
    return Row(
        role=role,
        candidate=found.candidate,
        loss=found.loss,
        costs=found.costs,
        feasible=found.feasible,
    )


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
