"""A job for a device and what it measured; raw samples are kept, statistics computed when read."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from fleetfit.codec import check_literals, digest
from fleetfit.device import DeviceInfo, Health
from fleetfit.errors import InputError
from fleetfit.query import Query, Target
from fleetfit.readings import GpuUse, MemoryReading, Window, calm_samples
from fleetfit.statistics import (
    P99_SAMPLES,
    bootstrap_interval,
    median_of_medians,
    outliers,
    relative_noise,
    upper_bound,
)

__all__ = ["Flag", "Job", "Measurement", "ProtocolName", "Status", "versions_of"]

ProtocolName = Literal["survey", "verify"]
Status = Literal["ok", "noisy", "unstable"]
"""ok; noisy: the machine was disturbed and stayed so; unstable: a cap of the protocol was hit."""
Flag = Literal["unsettled", "capped", "disturbed", "disagreeing", "throttled"]
"""Why it is not ok: a warm-up hit its cap; sampling did; the machine was disturbed; processes,
visits or the two statistics differ by too much; a GPU's clock was held down."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """One thing to measure: a query under seeded random weights, or a given model file."""

    query: Query
    protocol: ProtocolName
    protocol_version: int = 1
    seed: int = 0
    model_sha256: str | None = None
    """Hash of the model file that was measured instead of random weights."""

    def __post_init__(self) -> None:
        """The protocol is known."""
        check_literals(self)

    @property
    def id(self) -> str:
        """16 hexadecimal digits; jobs of equal cost under one protocol share it."""
        rest = (self.protocol, self.protocol_version, self.seed, self.model_sha256)
        return digest((self.query.id, *rest))


@dataclass(frozen=True, kw_only=True, slots=True)
class Measurement:
    """What a device measured for a job."""

    job: Job
    device: DeviceInfo
    samples_s: tuple[tuple[float, ...], ...]
    """Seconds of single runs, one tuple per process (verify) or visit (survey)."""
    memory_bytes: int | None
    """Peak resident memory (VmHWM) of a child that only loads and runs the model."""
    memory_above_imports_bytes: int | None
    """The share of it above the imports alone."""
    file_bytes: int
    load_s: float
    """Seconds to load the artefact into a session, median over processes or visits."""
    health: Health = field(default_factory=Health)
    versions: dict[str, str] = field(default_factory=dict)
    properties: dict[str, str] = field(default_factory=dict)
    """Options read back from the loaded session."""
    status: Status = "ok"
    flags: tuple[Flag, ...] = ()
    """Why it is not ok, sorted."""
    measured_at: str = ""
    """UTC, ISO 8601, by the machine's clock; a label, nothing is computed from it."""
    windows: tuple[tuple[Window, ...], ...] = ()
    """Of each process, in the order of its samples (verify)."""
    set_aside_s: tuple[tuple[float, ...], ...] = ()
    """Samples of processes or visits that a disturbance made worthless; they count nowhere."""
    memory: tuple[tuple[MemoryReading, ...], ...] = ()
    """Readings by stage, one tuple per memory child."""
    import_s: float | None = None
    """Seconds to import the runtime, median over processes."""
    first_run_s: float | None = None
    """Seconds of the first inference, median over processes."""
    build_s: float | None = None
    """Seconds to build the artefact from the ONNX graph in memory, where it was built here."""
    device_samples_s: tuple[tuple[float, ...], ...] = ()
    """Seconds of the same runs on a device beside the processor, by its own clock; else empty."""
    gpu: GpuUse | None = None
    """Of the last process."""

    def __post_init__(self) -> None:
        """There are samples, each a positive time; sizes and the load time are not negative."""
        check_literals(self)
        if self.file_bytes < 0 or not 0 <= self.load_s < float("inf"):
            raise InputError(
                "A measurement must have file_bytes >= 0 and a finite load_s >= 0, but got "
                f"{self.file_bytes}, {self.load_s}."
            )
        if self.status == "ok" and self.flags:
            raise InputError(
                f"A measurement that is ok must have no flags, but has {', '.join(self.flags)}."
            )
        if not self.samples_s or not all(self.samples_s):
            raise InputError("A measurement must have samples for every process, but has none.")
        if any(not 0 < s < float("inf") for p in self.samples_s for s in p):
            raise InputError("Samples must be positive finite seconds, but one is not.")

    @property
    def latency_p50_s(self) -> float:
        """Median over processes of each process's median."""
        return median_of_medians(self.samples_s)

    @property
    def latency_p90_s(self) -> float:
        """Median over processes of each process's 90th percentile (order statistic)."""
        return median_of_medians(self.samples_s, 0.9)

    @property
    def throughput_per_s(self) -> float:
        """Sequences per second at the median latency."""
        return self.job.query.workload.batch / self.latency_p50_s

    @property
    def noise(self) -> float:
        """Relative standard error between processes."""
        return relative_noise(self.samples_s)

    @property
    def latency_p99_s(self) -> float | None:
        """Median over processes of the 99th percentile; None where a process has too few samples.

        It takes P99_SAMPLES: fewer cannot bound it (statistics.upper_bound).
        """
        if min(map(len, self.samples_s)) < P99_SAMPLES:
            return None
        return median_of_medians(self.samples_s, 0.99)

    @property
    def device_p50_s(self) -> float | None:
        """As ``latency_p50_s``, by the device's own clock; None where it has none."""
        return median_of_medians(self.device_samples_s) if self.device_samples_s else None

    def bound_s(self, share: float) -> float | None:
        """Median over processes of the 99 % upper bound of a percentile (statistics.upper_bound).

        None where a process has too few samples for it.
        """
        bounds = [upper_bound(samples, share) for samples in self.samples_s]
        found = [b for b in bounds if b is not None]
        return median_of_medians([(b,) for b in found]) if len(found) == len(bounds) else None

    @property
    def outliers(self) -> tuple[int, int]:
        """(mild, severe) of all processes, each by its own quartiles; none is ever removed."""
        counts = [outliers(samples) for samples in self.samples_s]
        return sum(mild for mild, _ in counts), sum(severe for _, severe in counts)

    @property
    def calm_p50_s(self) -> float | None:
        """Median over processes of the median of undisturbed windows; None where none is left."""
        pairs = zip(self.samples_s, self.windows, strict=False)
        calm = [calm_samples(samples, windows) for samples, windows in pairs]
        left = [s for s in calm if s]
        return median_of_medians(left) if left else None

    def is_current(self, device: DeviceInfo) -> bool:
        """Whether what measured has the same versions on ``device`` now."""
        deciding = _deciding(self.job.query.target)
        return all(self.versions.get(name) == device.versions.get(name) for name in deciding)

    def interval_s(self, share: float = 0.5) -> tuple[float, float]:
        """95 % bootstrap interval of the latency percentile ``share``, seconds."""
        return bootstrap_interval(self.samples_s, share=share)


def versions_of(target: Target, device: DeviceInfo) -> dict[str, str]:
    """Versions that decide what ``target`` costs: of its runtime, on a GPU of the driver too."""
    found = device.versions
    return {name: found[name] for name in _deciding(target) if name in found}


def _deciding(target: Target) -> tuple[str, ...]:
    """Names in ``DeviceInfo.versions``; another runtime's update changes nothing."""
    driver = () if target.provider == "cpu" else ("nvidia-driver",)
    return (target.runtime, *driver)
