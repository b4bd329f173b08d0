"""Figures of many sub-networks, each evaluated once and kept over runs."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from fleetfit import Architecture, InputError, Precision
from search.cached import QualityStore
from supernet.measure import Figure, Measure

__all__ = ["CachedMeasure", "Scored", "evaluate_members"]

Progress = Callable[[int, int, str], None]
"""Called with (done, in all, name), of the members that are not in the cache."""


class CachedMeasure:
    """A ``Measure`` that evaluates no (architecture, precision) twice, over runs.

    The figures are kept as soon as they are known, so an interrupted run goes on where it was.
    """

    def __init__(self, measure: Measure, *, store: QualityStore, checkpoint: str) -> None:
        """``checkpoint``: the sha256 of the supernet's weights."""
        self._measure = measure
        self._store = store
        self._checkpoint = checkpoint
        self._data_id = measure.data_id

    @property
    def figures(self) -> tuple[Figure, ...]:
        """See Measure."""
        return self._measure.figures

    @property
    def data_id(self) -> str:
        """See Measure."""
        return self._data_id

    def known(self, arch: Architecture, precision: Precision) -> dict[str, float] | None:
        """The figures where all of them are kept."""
        found = {}
        for figure in self.figures:
            value = self._store.quality(self._key(figure.name), arch.id, precision)
            if value is None:
                return None
            found[figure.name] = value
        return found

    def __call__(self, arch: Architecture, precision: Precision) -> dict[str, float]:
        """The figures, evaluated if need be; InputError where one is not a finite number."""
        known = self.known(arch, precision)
        if known is not None:
            return known
        found = {name: float(v) for name, v in self._measure(arch, precision).items()}
        odd = [f"{name} is {value}" for name, value in found.items() if not math.isfinite(value)]
        if odd:
            raise InputError(
                f"Every figure must be a finite number, but of {arch.summary()} in {precision} "
                f"{odd[0]}; the supernet's weights must be finite: train or convert it again."
            )
        for name, value in found.items():
            self._store.put_quality(self._key(name), arch.id, precision, value)
        return found

    def _key(self, figure: str) -> str:
        return f"{self._checkpoint}-{self._data_id}-{figure}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Scored:
    """A sub-network with its figures by name."""

    name: str
    architecture: Architecture
    figures: dict[str, float]
    cached: bool
    """Whether nothing had to be evaluated for it."""


def evaluate_members(
    measures: Sequence[CachedMeasure],
    members: Mapping[str, Architecture],
    precision: Precision,
    *,
    progress: Progress | None = None,
) -> list[Scored]:
    """The figures of every measure for each of ``members``, in their order."""
    report = progress or (lambda done, total, name: None)
    found: dict[str, dict[str, float]] = {}
    new: dict[str, tuple[str, Architecture]] = {}
    for name, arch in members.items():
        known = _known(measures, arch, precision)
        if known is None:
            new.setdefault(arch.id, (name, arch))
        else:
            found[arch.id] = known
    for done, (name, arch) in enumerate(new.values()):
        report(done, len(new), name)
        figures = [measure(arch, precision) for measure in measures]
        found[arch.id] = {k: v for one in figures for k, v in one.items()}
    report(len(new), len(new), "")
    return [
        Scored(name=name, architecture=arch, figures=found[arch.id], cached=arch.id not in new)
        for name, arch in members.items()
    ]


def _known(
    measures: Sequence[CachedMeasure], arch: Architecture, precision: Precision
) -> dict[str, float] | None:
    """The figures where those of every measure are kept."""
    merged: dict[str, float] = {}
    for measure in measures:
        found = measure.known(arch, precision)
        if found is None:
            return None
        merged |= found
    return merged
