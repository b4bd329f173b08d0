"""One configuration during verification: its processes, when they are enough, and the result."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from fleetfit import DeviceInfo, Flag, Health, Job, Measurement, Query, Status, versions_of
from fleetfit.readings import calm_samples
from fleetfit.statistics import bootstrap_interval, median_of_medians
from profiler.health import worst_health
from profiler.process import Process
from profiler.protocol import VerifyProtocol
from profiler.requests import Prepared, VerifyRequest
from profiler.visit import MemoryUse

__all__ = ["Verification"]


@dataclass(kw_only=True, slots=True)
class Verification:
    """Mutable: processes and memory children are added until nothing is wanted."""

    query: Query
    job: Job
    request: VerifyRequest
    prepared: Prepared
    memory_wanted: int
    """Memory children to be run."""
    processes: list[Process] = field(default_factory=list)
    """Tagged, in the order they ran."""
    memory: list[MemoryUse] = field(default_factory=list)

    @property
    def _protocol(self) -> VerifyProtocol:
        return self.request.protocol

    @property
    def wants_process(self) -> bool:
        """Whether one more process is to be timed."""
        protocol, good = self._protocol, self._good()
        if len(self.processes) >= protocol.most_processes + protocol.extra_processes:
            return False
        if len(good) < protocol.processes:
            return len(self.processes) < protocol.processes + protocol.extra_processes
        wide = _half_width(good) > protocol.half_width
        return wide and len(good) < protocol.most_processes

    @property
    def wants_memory(self) -> bool:
        """Whether one more memory child is to be run."""
        return len(self.memory) < self.memory_wanted

    @property
    def left(self) -> int:
        """Children still to come, at least."""
        missing = max(1, self._protocol.processes - len(self._good()))
        return missing * self.wants_process + self.memory_wanted - len(self.memory)

    def measurement(self, device: DeviceInfo, now: Callable[[], str]) -> Measurement:
        """What is stored once nothing is wanted; ``now`` gives the time for its label."""
        good = self._good()
        enough = len(good) >= self._protocol.processes
        counted = good if enough else self.processes
        flags = self._flags(counted, disturbed=not enough)
        artifact, built = self.request.artifact, self.prepared.built
        peaks = [m.peak_bytes for m in self.memory]
        above = [m.above_imports_bytes for m in self.memory]
        return Measurement(
            job=self.job,
            device=device,
            samples_s=tuple(p.samples_s for p in counted),
            windows=tuple(p.windows for p in counted),
            set_aside_s=tuple(p.samples_s for p in self.processes if p not in counted),
            memory_bytes=int(np.median(peaks)) if peaks else None,
            memory_above_imports_bytes=int(np.median(above)) if above else None,
            memory=tuple(m.readings for m in self.memory),
            device_samples_s=tuple(p.device_samples_s for p in counted if p.device_samples_s),
            gpu=counted[-1].gpu,
            file_bytes=artifact.file_bytes,
            import_s=float(np.median([p.import_s for p in counted])),
            load_s=float(np.median([p.load_s for p in counted])),
            first_run_s=float(np.median([p.first_run_s for p in counted])),
            build_s=None if built is None else built.build_s,
            health=_health(counted),
            versions=versions_of(self.query.target, device),
            properties=counted[-1].properties,
            status=_status(flags),
            flags=flags,
            measured_at=now(),
        )

    def _good(self) -> list[Process]:
        return [p for p in self.processes if not p.disturbed(self._protocol.limits)]

    def _flags(self, counted: Sequence[Process], *, disturbed: bool) -> tuple[Flag, ...]:
        apart = _half_width(counted) > self._protocol.disagreement
        return _set(
            capped=not all(p.steady for p in counted),
            disagreeing=apart or self._gap(counted) > self._protocol.statistics_gap,
            disturbed=disturbed,
            throttled=any("clock" in w.tags for p in counted for w in p.windows),
            unsettled=not all(p.settled for p in counted),
        )

    def _gap(self, counted: Sequence[Process]) -> float:
        """Relative difference of the medians with and without the tagged windows."""
        calm = [s for s in (calm_samples(p.samples_s, p.windows) for p in counted) if s]
        if not calm:
            return 0.0  # then it is flagged as disturbed
        return abs(median_of_medians([p.samples_s for p in counted]) / median_of_medians(calm) - 1)


def _health(processes: Sequence[Process]) -> Health:
    references = [p.reference_s for p in processes if p.reference_s is not None]
    usual = float(np.median(references)) if references else None
    return dataclasses.replace(worst_health([p.health for p in processes]), reference_s=usual)


def _half_width(processes: Sequence[Process]) -> float:
    """Half of the bootstrap interval over processes, relative to the median."""
    samples = [p.samples_s for p in processes]
    low, high = bootstrap_interval(samples)
    return (high - low) / 2 / median_of_medians(samples)


def _set(**flags: bool) -> tuple[Flag, ...]:
    return tuple(name for name, on in sorted(flags.items()) if on)  # type: ignore[misc]


def _status(flags: tuple[Flag, ...]) -> Status:
    if {"capped", "unsettled"} & set(flags):
        return "unstable"
    return "noisy" if flags else "ok"
