"""Verification: the best candidates are measured until one keeps the budgets (decision 8)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from fleetfit import Budget, InfeasibleError, InputError, LayerTable, Measurement, parameters
from search.candidate import Candidate

__all__ = [
    "AT_MOST",
    "RESERVE",
    "Learned",
    "Measured",
    "Verified",
    "measured_value",
    "shown_value",
    "verify_candidates",
]

AT_MOST: Final = 5
"""Candidates that are measured before the verification gives up."""

RESERVE: Final = 0.05
"""Share of a limit on a time that a candidate leaves free by default: between its verification and
that of the exported model lies a training, and a shared machine wanders by some percent."""

Learned = Callable[[Candidate, Measurement], Sequence[Candidate] | None]
"""Called after every measurement; may return a new ranking of what is left to try."""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A measured candidate; ``excess`` is its worst relative excess, <= 0 where it passes."""

    candidate: Candidate
    measurement: Measurement
    excess: float
    worst: Budget | None
    """The budget with the worst excess; None where there are none."""


@dataclass(frozen=True, kw_only=True)
class Verified:
    """The first candidate that passed, and those that missed before it."""

    winner: Measured
    misses: tuple[Measured, ...]


def shown_value(budget: Budget, value: float) -> str:
    """``value`` of ``measured_value`` for an error, with what it is."""
    ends = {"latency_p50": "upper", "latency_p90": "upper", "throughput": "lower"}
    end = ends.get(budget.metric)
    shown = budget.shown(value)
    return shown if end is None else f"{shown} at the {end} end of its 95 % interval"


def measured_value(candidate: Candidate, measurement: Measurement, budget: Budget) -> float:
    """The value that ``budget`` is judged by, SI units.

    Latency and throughput by the pessimistic end of the 95 % bootstrap interval, memory and size
    as measured, parameters as counted. Raises InputError for a metric that was not measured.
    """
    match budget.metric:
        case "latency_p50":
            return measurement.interval_s(0.5)[1]
        case "latency_p90":
            return measurement.interval_s(0.9)[1]
        case "throughput":
            return measurement.job.query.workload.batch / measurement.interval_s(0.5)[1]
        case "size":
            return float(measurement.file_bytes)
        case "params":
            return float(parameters(LayerTable.of([candidate.architecture]))[0])
        case "memory":
            if measurement.memory_bytes is None:
                raise InputError(
                    f"A measurement must have its memory to judge {budget}, but this one has not: "
                    "measure with memory."
                )
            return float(measurement.memory_bytes)
        case "quality_drop":
            raise InputError("A quality_drop must be judged by evaluation, not by measuring.")


def verify_candidates(
    ranked: Sequence[Candidate],
    measure: Callable[[Candidate], Measurement],
    budgets: Sequence[Budget],
    *,
    learned: Learned | None = None,
    at_most: int = AT_MOST,
) -> Verified:
    """The first candidate of ``ranked`` that keeps every (absolute) budget when measured.

    ``quality_drop`` is left to evaluation. Every measurement is handed to ``learned``, which may
    return a new ranking; no candidate is measured twice. After ``at_most`` misses, or when there
    are no more candidates, raises InfeasibleError that names the nearest.
    """
    if at_most < 1 or not ranked:
        raise InputError(
            "Verification must have candidates and `at_most >= 1`, but got "
            f"{len(ranked)} and {at_most}."
        )
    misses: list[Measured] = []
    left = list(ranked)
    while left and len(misses) < at_most:
        candidate = left.pop(0)
        measurement = measure(candidate)
        found = _judge(candidate, measurement, budgets)
        again = learned(candidate, measurement) if learned is not None else None
        if found.excess <= 0:
            return Verified(winner=found, misses=tuple(misses))
        misses.append(found)
        tried = {m.candidate for m in misses}
        left = [c for c in (left if again is None else again) if c not in tried]
    raise InfeasibleError(_nearest(misses))


def _judge(candidate: Candidate, measurement: Measurement, budgets: Sequence[Budget]) -> Measured:
    judged = [b for b in budgets if b.metric != "quality_drop"]
    excesses = [b.excess(measured_value(candidate, measurement, b)) for b in judged]
    worst = max(excesses, default=-1.0)
    return Measured(
        candidate=candidate,
        measurement=measurement,
        excess=worst,
        worst=judged[excesses.index(worst)] if judged else None,
    )


def _nearest(misses: Sequence[Measured]) -> str:
    nearest = min(misses, key=lambda m: m.excess)
    return (
        f"A candidate must keep every budget when measured, but none of {len(misses)} did; the "
        f"nearest is {nearest.candidate}, {nearest.excess:.1%} beyond {nearest.worst}: raise the "
        "limit, search with less --reserve, or search again with what was learned."
    )
