"""Budgets: one syntax for every limit, as in ``latency_p50<=8ms`` or ``memory<=160MiB``."""

from __future__ import annotations

import dataclasses
import math
import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal, get_args

from fleetfit.codec import check_literals
from fleetfit.errors import InputError

__all__ = ["Budget", "Metric"]

Metric = Literal[
    "latency_p50", "latency_p90", "memory", "params", "size", "throughput", "quality_drop"
]
_SECONDS = {"us": 1e-6, "ms": 1e-3, "s": 1.0}
_BYTES = {"KiB": 2.0**10, "MiB": 2.0**20, "GiB": 2.0**30, "KB": 1e3, "MB": 1e6, "GB": 1e9, "B": 1.0}
_COUNT = {"": 1.0, "K": 1e3, "M": 1e6, "B": 1e9}
_UNITS: dict[str, dict[str, float]] = {
    "latency_p50": _SECONDS,
    "latency_p90": _SECONDS,
    "memory": _BYTES,
    "params": _COUNT,
    "size": _BYTES,
    "throughput": {"/s": 1.0},
    "quality_drop": {},
}
_PATTERN = re.compile(r"\s*([a-z_0-9]+)\s*(<=|>=)\s*(\d+(?:\.\d+)?)\s*([A-Za-z/%]*)\s*")


@dataclass(frozen=True, kw_only=True, slots=True)
class Budget:
    """A limit on one metric, in SI units (seconds, bytes, counts, sequences per second).

    ``relative``: ``limit`` is a share of the source model's own value. ``quality_drop`` is a
    share always (0.01: one percent of the source model's metric).
    """

    metric: Metric
    relation: Literal["<=", ">="]
    limit: float
    relative: bool = False

    def __post_init__(self) -> None:
        """Throughput is bounded from below, all else from above."""
        check_literals(self)
        if (self.metric == "throughput") != (self.relation == ">="):
            raise InputError(
                "A budget must be an upper limit (<=), for throughput a lower one (>=), "
                f"but got {self.metric}{self.relation}."
            )
        if not 0 < self.limit < float("inf"):
            raise InputError(f"A budget's limit must be above 0 and finite, got {self.limit}.")
        if self.relative and self.metric == "quality_drop":
            raise InputError("quality_drop is a share always and must not be marked relative.")

    @classmethod
    def parse(cls, text: str) -> Budget:
        """Read ``metric<=number unit``; raises InputError that names what fits."""
        match = _PATTERN.fullmatch(text)
        if match is None:
            raise InputError(
                "A budget must read like latency_p50<=8ms, memory<=160MiB, params<=20M, "
                f"throughput>=200/s or latency_p50<=50%, but got {text!r}."
            )
        metric, relation, number, unit = match.groups()
        if metric not in get_args(Metric):
            known = ", ".join(get_args(Metric))
            raise InputError(f"A budget's metric must be one of {known}, but got {metric!r}.")
        if unit != "%" and unit not in _UNITS[metric]:
            units = ", ".join(u or "no unit" for u in [*_UNITS[metric], "%"])
            raise InputError(f"The unit of {metric} must be {units}, but got {unit or 'none'!r}.")
        relative = unit == "%" and metric != "quality_drop"
        scale = 0.01 if unit == "%" else _UNITS[metric][unit]
        limit = float(Decimal(number) * Decimal(repr(scale)))
        return cls(metric=metric, relation=relation, limit=limit, relative=relative)  # type: ignore[arg-type]

    def resolve(self, source_value: float) -> Budget:
        """The same budget in absolute terms, given the source model's own value."""
        if not self.relative:
            return self
        return dataclasses.replace(self, limit=self.limit * source_value, relative=False)

    def stricter(self, share: float) -> Budget:
        """With ``share`` (0 up to 1) of the limit held in reserve where the metric is a time.

        Times wander from hour to hour on most machines; counts and bytes do not.
        """
        if not 0 <= share < 1:
            raise InputError(f"A reserve must be at least 0 and below 1, but got {share}.")
        if self.metric not in ("latency_p50", "latency_p90", "throughput"):
            return self
        factor = 1 - share if self.relation == "<=" else 1 / (1 - share)
        return dataclasses.replace(self, limit=self.limit * factor)

    def excess(self, value: float) -> float:
        """How far ``value`` misses the limit, relative to it; 0 or less where it is kept."""
        if self.relative:
            raise InputError("A relative budget must be resolved first, but it was not.")
        sign = 1.0 if self.relation == "<=" else -1.0
        return sign * (value - self.limit) / self.limit

    def shown(self, value: float) -> str:
        """``value`` (SI) in the unit of this budget, to four significant digits."""
        if self.relative or self.metric == "quality_drop":
            return f"{_plain(value * 100)}%"
        if self.metric.startswith("latency"):
            return f"{_plain(value * 1e3)}ms"
        if self.metric in ("memory", "size"):
            return f"{_plain(value / 2**20)}MiB"
        if self.metric == "params":
            return f"{_plain(value / 1e6)}M"
        return f"{_plain(value)}/s"

    @property
    def exact(self) -> str:
        """As it would be typed, with every digit: ``parse`` gives an equal budget."""
        scale, unit = 1, ""
        if self.relative or self.metric == "quality_drop":
            scale, unit = 100, "%"
        elif self.metric != "params":
            unit = "s" if self.metric.startswith("latency") else "B"
            unit = "/s" if self.metric == "throughput" else unit
        number = f"{Decimal(repr(self.limit)) * scale:f}"
        number = number.rstrip("0").rstrip(".") if "." in number else number
        return f"{self.metric}{self.relation}{number}{unit}"

    def __str__(self) -> str:
        """As it would be typed, for people; ``parse`` reads it."""
        return f"{self.metric}{self.relation}{self.shown(self.limit)}"


def _plain(number: float) -> str:
    """Four significant digits or all whole ones, never with an exponent."""
    decimals = max(0, 3 - math.floor(math.log10(abs(number)))) if number else 0
    text = f"{number:.{decimals}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
