"""The ``survey`` protocol: many configurations, each visited in several passes of random order."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
import psutil

from devices import machine_lock, scratch_directory
from fleetfit import (
    DeviceInfo,
    Job,
    Measurement,
    Query,
    SurroundingsError,
    Target,
    versions_of,
)
from profiler.bench import Bench
from profiler.calm import machine_cores
from profiler.clock import utc_now
from profiler.entry import Entry
from profiler.gate import Gate
from profiler.health import worst_health
from profiler.store import Store
from profiler.survey_order import chosen_for_memory, shuffled
from profiler.survey_settings import Progress, SurveySettings
from profiler.usual import Usual
from profiler.visit import MemoryUse, Verdict, Visit
from profiler.workers import WorkerBench

__all__ = ["Survey", "survey"]

_AS_USUAL: Final = SurveySettings()
_MOST_FAILURES: Final = 3


def survey(
    queries: Sequence[Query],
    *,
    store: Store,
    device: DeviceInfo,
    settings: SurveySettings = _AS_USUAL,
    progress: Progress | None = None,
) -> list[Measurement]:
    """Measure ``queries`` on this machine, in their order; what the store has is not repeated.

    Networks run under seeded random weights. Each measurement is stored as soon as it is complete
    and each visit as soon as it is made, so an interrupted survey goes on where it stopped when it
    is called again. A network whose child fails is left out, and its error raised once the others
    are measured; after three failures in a row at once. Raises SurroundingsError also where another
    measurement holds the machine or the disk is full; what is stored stays.
    """

    def look_up() -> Survey:
        return Survey(queries, store=store, device=device, settings=settings)

    plan = look_up()
    if plan.is_complete:
        return plan.measurements()
    with (
        machine_lock("a survey", timeout_s=settings.lock_wait_s) as lock,
        scratch_directory(lock) as scratch,
        contextlib.closing(
            WorkerBench(scratch, settings.protocol, keep_bytes=_kept(queries, device, settings))
        ) as bench,
    ):
        return look_up().run(bench, progress)  # another survey may have ended since


class Survey:
    """The order of visits, gated by the reference; measures on any bench."""

    def __init__(
        self,
        queries: Sequence[Query],
        *,
        store: Store,
        device: DeviceInfo,
        settings: SurveySettings,
    ) -> None:
        """Read from the store what is there already."""
        self._store, self._device, self._settings = store, device, settings
        self._order = [self._job(query) for query in queries]
        self._with_memory = chosen_for_memory(queries, settings.memory_every)
        self._done: dict[str, Measurement] = {}
        self._open: dict[str, Entry] = {}
        self._failed: list[SurroundingsError] = []
        self._failures = 0  # in a row
        self._waited_s = 0.0  # for the reference
        self._progress: Progress | None = None
        for job in self._order:
            if job.id not in self._done and job.id not in self._open:
                self._look_up(job)

    @property
    def is_complete(self) -> bool:
        """Whether the store had everything."""
        return not self._open

    def measurements(self) -> list[Measurement]:
        """The measurements in the order of the queries, once complete."""
        return [self._done[job.id] for job in self._order]

    def run(self, bench: Bench, progress: Progress | None = None) -> list[Measurement]:
        """Make every visit that is wanted and return the measurements."""
        self._progress = progress
        limits = self._settings.protocol.limits
        usual = Usual(self._device, limits, self._store)
        gate = Gate(bench, usual, limit=limits.reference)
        targets = list({e.query.target.id: e.query.target for e in self._open.values()}.values())
        if any(self._wants_visit(entry) for entry in self._open.values()):
            gate.start(targets)
        rng = np.random.default_rng(self._settings.order_seed)
        last = ""
        while self._open:
            self._finish(bench)
            order = shuffled([e for e in self._open.values() if self._wants_visit(e)], rng, last)
            if order:
                last = order[-1].job.id
                self._pass(order, bench, gate)
        if self._failed:
            raise self._failed[0]
        return self.measurements()

    def _pass(self, order: list[Entry], bench: Bench, gate: Gate) -> None:
        """Visit each entry once; every stretch of visits ends with a look at the reference."""
        protocol = self._settings.protocol
        stretch: list[Entry] = []
        began = bench.now_s()
        for entry in order:
            query = entry.query
            self._tell(f"{query.architecture.summary()} in {query.target}")
            with self._leaving_out(entry):
                visit = bench.visit(query, seed=self._settings.seed)
            if entry.job.id not in self._open:
                continue
            if self._add(entry, visit, gate.latest_s(query.target)) == "disturbed":
                self._tell("waiting for calm: other processes or the hypervisor use the machine")
                bench.wait_for_calm(protocol.wait_s)
            stretch.append(entry)
            if bench.now_s() - began >= protocol.reference_every_s:
                self._judge(stretch, gate, bench)
                self._finish(bench)
                stretch, began = [], bench.now_s()
        self._judge(stretch, gate, bench)
        self._finish(bench)
        self._tell("")

    @contextlib.contextmanager
    def _leaving_out(self, entry: Entry) -> Iterator[None]:
        """Leave out the entry whose child fails in the block, unless it is the third in a row."""
        try:
            yield
        except SurroundingsError as exc:
            self._failures += 1
            if self._failures >= _MOST_FAILURES:
                raise
            self._failed.append(exc)
            del self._open[entry.job.id]
        else:
            self._failures = 0

    def _add(self, entry: Entry, visit: Visit, reference_s: float) -> Verdict:
        """Keep a visit; disturbed at once where a cause was seen, else pending."""
        health = dataclasses.replace(visit.health, reference_s=reference_s)
        visit = dataclasses.replace(visit, health=health)
        versions = versions_of(entry.query.target, self._device)
        number = self._store.add_visit(entry.job, self._device.name, visit, versions)
        entry.visits[number] = visit
        calm = self._settings.protocol.limits.allow(visit.health, machine_cores())
        verdict: Verdict = "pending" if calm else "disturbed"
        if not calm:
            self._store.judge_visits([number], verdict)
        entry.verdicts[number] = verdict
        return verdict

    def _wait_for(self, target: Target, gate: Gate, bench: Bench) -> None:
        """Until the reference is as fast as usual, as long as a survey may wait."""
        protocol, began = self._settings.protocol, bench.now_s()
        self._tell("waiting for calm: the machine is not as fast as usual")
        gate.wait(target, min(protocol.wait_s, protocol.wait_all_s - self._waited_s))
        self._waited_s += bench.now_s() - began

    def _judge(self, stretch: list[Entry], gate: Gate, bench: Bench) -> None:
        """Set the verdict on the pending visits of a stretch, target by target."""
        targets = {entry.query.target.id: entry.query.target for entry in stretch}
        for target in targets.values():
            verdict: Verdict = "good" if gate.is_calm(target) else "disturbed"
            if verdict == "disturbed":
                self._wait_for(target, gate, bench)
            judged = []
            for entry in stretch:
                if entry.query.target != target:
                    continue
                for number, before in entry.verdicts.items():
                    if before == "pending":
                        entry.verdicts[number] = verdict
                        judged.append(number)
            self._store.judge_visits(judged, verdict)

    def _finish(self, bench: Bench) -> None:
        """Store every entry whose visits are complete and judged."""
        for entry in list(self._open.values()):
            pending = "pending" in entry.verdicts.values()
            if not pending and not self._wants_visit(entry):
                memory = None
                if entry.query.architecture.cost_id in self._with_memory:
                    self._tell(f"memory of {entry.query.architecture.summary()}")
                    with self._leaving_out(entry):
                        memory = bench.memory(entry.query, seed=self._settings.seed)
                if entry.job.id in self._open:
                    self._put(entry, memory)

    def _put(self, entry: Entry, memory: MemoryUse | None) -> None:
        earlier = self._done.get(entry.job.id)
        measurement = self._measurement(entry) if earlier is None else earlier
        if memory is not None:
            measurement = dataclasses.replace(
                measurement,
                memory_bytes=memory.peak_bytes,
                memory_above_imports_bytes=memory.above_imports_bytes,
                memory=(memory.readings,) if memory.readings else (),
            )
        if earlier is None:
            self._store.put_better(measurement)
        else:  # with its memory now
            self._store.put(measurement)
        self._done[entry.job.id] = measurement
        del self._open[entry.job.id]

    def _measurement(self, entry: Entry) -> Measurement:
        visits, flags = entry.result(self._settings.protocol)
        first_runs = [v.first_run_s for v in visits if v.first_run_s is not None]
        return Measurement(
            job=entry.job,
            device=self._device,
            samples_s=tuple(v.samples_s for v in visits),
            set_aside_s=tuple(v.samples_s for v in entry.visits.values() if v not in visits),
            memory_bytes=None,
            memory_above_imports_bytes=None,
            file_bytes=visits[-1].file_bytes,
            load_s=float(np.median([v.load_s for v in visits])),
            first_run_s=float(np.median(first_runs)) if first_runs else None,
            build_s=visits[-1].build_s,
            health=worst_health([v.health for v in visits]),
            versions=versions_of(entry.query.target, self._device),
            properties=visits[-1].properties,
            status="noisy" if flags else "ok",
            flags=flags,
            measured_at=utc_now(),
        )

    def _look_up(self, job: Job) -> None:
        query, device = job.query, self._device
        versions = versions_of(query.target, device)
        stored = self._store.get(job, device.name, versions)
        if stored is not None:
            self._done[job.id] = stored
            wants_memory = query.architecture.cost_id in self._with_memory
            if stored.memory_bytes is None and wants_memory:
                self._open[job.id] = Entry(query=query, job=job)
            return
        entry = Entry(query=query, job=job)
        for number, verdict, visit in self._store.visits(job, device.name, versions):
            entry.visits[number] = visit
            # The stretch of a pending visit was cut short and cannot be judged by the reference
            # any more; its own readings and the agreement of visits still guard it.
            calm = self._settings.protocol.limits.allow(visit.health, machine_cores())
            late: Verdict = "good" if calm else "disturbed"
            entry.verdicts[number] = late if verdict == "pending" else verdict
        self._open[job.id] = entry

    def _wants_visit(self, entry: Entry) -> bool:
        """An open entry that is measured already wants its memory only."""
        return entry.job.id not in self._done and entry.wants_visit(self._settings.protocol)

    def _tell(self, note: str) -> None:
        if self._progress is not None:
            self._progress(*self._counts(), note)

    def _counts(self) -> tuple[int, int]:
        """(visits done, visits planned)."""
        usual = self._settings.protocol.visits
        entries = [e for e in self._open.values() if e.job.id not in self._done]
        made = usual * len(self._done) + sum(len(e.visits) for e in entries)
        wanted = sum(max(usual, len(e.visits) + self._wants_visit(e)) for e in entries)
        return made, usual * len(self._done) + wanted

    def _job(self, query: Query) -> Job:
        protocol = self._settings.protocol
        return Job(
            query=query,
            protocol="survey",
            protocol_version=protocol.version,
            seed=self._settings.seed,
        )


def _kept(queries: Sequence[Query], device: DeviceInfo, settings: SurveySettings) -> int:
    """Memory in which the child of one target may keep networks loaded; of what is free now."""
    targets = len({query.target.id for query in queries})
    free = min(device.memory_bytes, psutil.virtual_memory().available)
    return int(settings.protocol.keep_share * free / targets)
