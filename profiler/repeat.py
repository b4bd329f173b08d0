"""Measuring part of a store again (A/A): what the store says of itself."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Sequence, Set
from dataclasses import dataclass

import numpy as np

from fleetfit import DeviceInfo, InputError, Measurement, Query, versions_of
from profiler.protocol import is_present
from profiler.store import Store
from profiler.survey import survey
from profiler.survey_settings import Progress, SurveySettings
from profiler.usual import REMEMBERED, Usual
from profiler.verify import VerifySettings, verify_each

__all__ = ["RepeatSettings", "copy_references", "repeat"]


@dataclass(frozen=True, kw_only=True, slots=True)
class RepeatSettings:
    """How much is measured again."""

    share: float
    """Of the measurements of this machine, in (0, 1]; at least one of each protocol."""
    seed: int = 0
    """Of the choice."""

    def __post_init__(self) -> None:
        """The share is one."""
        if not 0 < self.share <= 1:
            raise InputError(
                f"The share to repeat must be above 0 and at most 100 %, but got {self.share:.4g}."
            )


def repeat(
    store: Store,
    *,
    device: DeviceInfo,
    settings: RepeatSettings,
    progress: Progress | None = None,
) -> list[Measurement]:
    """Measure a random share of what this machine measured once more; each is stored as a repeat.

    What was never repeated comes first. Only what today's protocols and runtimes would measure
    alike is chosen, and no exported model (its file may be gone). Raises InputError where there
    is nothing, else as ``survey`` and ``verify``.
    """
    rows = [
        m
        for m in store.measurements(device_class=device.device_class)
        if m.device.name == device.name and is_present(m, device) and m.job.model_sha256 is None
    ]
    if not rows:
        raise InputError(
            f"The store {store.name} must hold measurements of this machine by today's protocols "
            "and runtimes to repeat, but holds none; profile first."
        )
    repeated = {
        group[0].job.id
        for group in store.repeated()
        if group[0].device.name == device.name and is_present(group[0], device)
    }
    rng = np.random.default_rng(settings.seed)
    chosen = [
        row
        for protocol in ("survey", "verify")
        for row in _some(
            [m for m in rows if m.job.protocol == protocol], settings.share, repeated, rng
        )
    ]
    found: list[Measurement] = []
    for seed in sorted({m.job.seed for m in chosen}):
        for again in (_survey_again, _verify_again):
            found += again([m for m in chosen if m.job.seed == seed], store, device, progress)
    return found


def _some(
    rows: list[Measurement], share: float, repeated: Set[str], rng: np.random.Generator
) -> list[Measurement]:
    """A share at random; of those that were repeated before none, unless all others are in it."""
    count = min(len(rows), math.ceil(share * len(rows) - 1e-9))
    drawn = [int(i) for i in rng.permutation(len(rows))]
    order = sorted(drawn, key=lambda i: rows[i].job.id in repeated)
    return [rows[i] for i in sorted(order[:count])]


def _survey_again(
    rows: Sequence[Measurement], store: Store, device: DeviceInfo, progress: Progress | None
) -> list[Measurement]:
    """In a store of its own: in the real one everything is there already."""
    queries = [m.job.query for m in rows if m.job.protocol == "survey"]
    if not queries:
        return []
    with tempfile.TemporaryDirectory() as folder, Store(f"sqlite:///{folder}/again.db") as own:
        settings = SurveySettings(seed=rows[0].job.seed)
        copy_references(queries, device, store, own)
        kept: dict[str, Measurement] = {}

        def keep() -> None:
            """What has become complete, at once: the process may be killed at any moment."""
            if own.count() == len(kept):
                return
            for one in own.measurements():
                if one.job.id not in kept:
                    store.put_repeat(one)
                    kept[one.job.id] = one

        def report(done: int, total: int, note: str) -> None:
            keep()
            if progress is not None:
                progress(done, total, note)

        try:
            survey(queries, store=own, device=device, settings=settings, progress=report)
        finally:
            keep()
    return list(kept.values())


def copy_references(queries: Sequence[Query], device: DeviceInfo, store: Store, own: Store) -> None:
    """How fast the reference usually is: the new store knows of no earlier hour."""
    for target in dict.fromkeys(query.target for query in queries):
        versions = versions_of(target, device)
        for reading_s in store.references(device.name, target.id, versions, limit=REMEMBERED)[::-1]:
            own.add_reference(device.name, target.id, versions, reading_s)


def _verify_again(
    rows: Sequence[Measurement], store: Store, device: DeviceInfo, progress: Progress | None
) -> list[Measurement]:
    queries = [m.job.query for m in rows if m.job.protocol == "verify"]
    if not queries:
        return []
    settings = VerifySettings(seed=rows[0].job.seed, memory=False)
    usual = Usual(device, settings.protocol.limits, store)
    return verify_each(queries, usual, settings, progress, keep=store.put_repeat)
