"""Quality, evaluated once for each (architecture, precision) and kept over runs."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Protocol

from fleetfit import Architecture, InputError, Precision

__all__ = ["CachedQuality", "MemoryQualities", "Quality", "QualityStore"]

Quality = Callable[[Sequence[tuple[Architecture, Precision]]], Sequence[float]]
"""A loss for each (architecture, precision): finite, lower is better, equal for equal input."""


class QualityStore(Protocol):
    """Where losses are kept; ``profiler.Store`` is one."""

    def quality(self, key: str, architecture_id: str, precision: str) -> float | None:
        """The loss kept under this key, None where there is none."""

    def put_quality(self, key: str, architecture_id: str, precision: str, value: float) -> None:
        """Keep a loss; ``key`` names the supernet and the text it belongs to."""


class MemoryQualities:
    """A ``QualityStore`` that lives as long as the process."""

    def __init__(self) -> None:
        """Empty."""
        self._values: dict[tuple[str, str, str], float] = {}

    def quality(self, key: str, architecture_id: str, precision: str) -> float | None:
        """See QualityStore."""
        return self._values.get((key, architecture_id, precision))

    def put_quality(self, key: str, architecture_id: str, precision: str, value: float) -> None:
        """See QualityStore."""
        self._values[key, architecture_id, precision] = value


class CachedQuality:
    """A ``Quality`` that never evaluates a pair twice, over devices and over runs.

    Each loss is kept as soon as it is known (pairs are asked one at a time), so an interrupted
    run loses at most one evaluation.
    """

    def __init__(self, quality: Quality, *, store: QualityStore, key: str = "") -> None:
        """``key`` must change whenever the supernet or the text changes."""
        self._quality = quality
        self._store = store
        self._key = key

    def __call__(self, pairs: Sequence[tuple[Architecture, Precision]]) -> list[float]:
        """A loss for each pair; raises InputError where one is not a finite number."""
        return [self._one(arch, precision) for arch, precision in pairs]

    def _one(self, arch: Architecture, precision: Precision) -> float:
        known = self._store.quality(self._key, arch.id, precision)
        if known is not None:
            return known
        losses = [float(v) for v in self._quality([(arch, precision)])]
        if len(losses) != 1 or not math.isfinite(losses[0]):
            raise InputError(
                f"A quality must be one finite loss per architecture, but got {losses} for "
                f"{arch.summary()} in {precision}."
            )
        self._store.put_quality(self._key, arch.id, precision, losses[0])
        return losses[0]
