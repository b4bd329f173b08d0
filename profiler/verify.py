"""The ``verify`` protocol: one configuration in fresh processes, until the figures stand."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from devices import machine_lock, run_isolated, scratch_directory
from exporters import Artifact
from fleetfit import DeviceInfo, InputError, Job, Measurement, Query, from_json, versions_of
from fleetfit.files import sha256_of
from profiler.memory import measure_memory
from profiler.protocol import VerifyProtocol
from profiler.requests import BuildRequest, VerifyRequest
from profiler.store import Store
from profiler.survey import Progress, worst_health
from profiler.verify_child import Verification
from profiler.visit import MemoryUse

__all__ = ["VerifySettings", "verified", "verify"]


@dataclass(frozen=True, kw_only=True, slots=True)
class VerifySettings:
    """How a verification goes."""

    protocol: VerifyProtocol = field(default_factory=VerifyProtocol)
    seed: int = 0
    """Of weights and inputs."""
    memory: bool = True
    """Whether a memory child runs after the timed processes."""
    lock_wait_s: float = 60.0
    """How long another measurement on this machine is waited for."""


def verify(
    query: Query,
    *,
    device: DeviceInfo,
    model_path: Path | None = None,
    settings: VerifySettings = VerifySettings(),
    progress: Progress | None = None,
) -> Measurement:
    """Measure ``query`` on this machine: an exported model, or seeded random weights.

    ``progress`` counts child processes. Status ``unstable``: a process never settled or hit its
    cap; the samples are there all the same. Raises InputError for a model file that is missing or
    not readable by the runtime, SurroundingsError where another measurement holds the machine or a
    child fails.
    """
    if model_path is not None and not model_path.is_file():
        raise InputError(f"The model must be an existing file, but {model_path} is not there.")
    with (
        machine_lock("a verification", timeout_s=settings.lock_wait_s) as lock,
        scratch_directory(lock) as scratch,
    ):
        if model_path is None:
            artifact = _build(query, scratch, settings)
        else:
            artifact = _artifact(query, model_path)
        runs, memory = _measure(query, artifact, settings, progress, scratch=scratch)
    calm = all(run.settled and run.steady for run in runs)
    return Measurement(
        job=_job(query, settings, None if model_path is None else artifact.sha256),
        device=device,
        samples_s=tuple(run.visit.samples_s for run in runs),
        memory_bytes=None if memory is None else memory.peak_bytes,
        memory_above_imports_bytes=None if memory is None else memory.above_imports_bytes,
        file_bytes=artifact.file_bytes,
        load_s=float(np.median([run.visit.load_s for run in runs])),
        health=worst_health([run.visit.health for run in runs]),
        versions=versions_of(query.target, device),
        properties=runs[-1].visit.properties,
        status="ok" if calm else "unstable",
    )


def verified(
    query: Query,
    *,
    store: Store,
    device: DeviceInfo,
    settings: VerifySettings = VerifySettings(),
    progress: Progress | None = None,
) -> Measurement:
    """The verification of ``query`` under random weights: from the store, or made and stored now.

    One that is unstable, lacks the memory that is wanted, or was made under another version of its
    runtime is made again. Raises as ``verify``.
    """
    versions = versions_of(query.target, device)
    known = store.get(_job(query, settings, None), device.name, versions)
    if known is not None and known.status == "ok":
        complete = known.memory_bytes is not None or not settings.memory
        if complete:
            return known
    found = verify(query, device=device, settings=settings, progress=progress)
    store.put(found)
    return found


def _job(query: Query, settings: VerifySettings, model_sha256: str | None) -> Job:
    return Job(
        query=query,
        protocol="verify",
        protocol_version=settings.protocol.version,
        seed=settings.seed,
        model_sha256=model_sha256,
    )


def _measure(
    query: Query,
    artifact: Artifact,
    settings: VerifySettings,
    progress: Progress | None,
    *,
    scratch: Path,
) -> tuple[list[Verification], MemoryUse | None]:
    protocol = settings.protocol
    total = protocol.processes + settings.memory
    request = VerifyRequest(query=query, artifact=artifact, seed=settings.seed, protocol=protocol)
    runs = []
    for number in range(protocol.processes):
        if progress is not None:
            progress(number, total, f"process {number + 1} of {protocol.processes}")
        answer = run_isolated(
            "profiler.verify_child", request, timeout_s=protocol.process_timeout_s
        )
        runs.append(from_json(Verification, answer))
    memory = None
    if settings.memory:
        if progress is not None:
            progress(protocol.processes, total, "memory")
        timeout_s, seed = protocol.process_timeout_s, settings.seed
        memory = measure_memory(query, artifact, scratch=scratch, seed=seed, timeout_s=timeout_s)
    if progress is not None:
        progress(total, total, "")
    return runs, memory


def _build(query: Query, scratch: Path, settings: VerifySettings) -> Artifact:
    """The artefact of random weights, built in a child of its own: its memory ends with it."""
    request = BuildRequest(query=query, directory=str(scratch), seed=settings.seed)
    timeout_s = settings.protocol.process_timeout_s
    return from_json(Artifact, run_isolated("profiler.survey_child", request, timeout_s=timeout_s))


def _artifact(query: Query, path: Path) -> Artifact:
    return Artifact(
        target=query.target,
        workload=query.workload,
        path=str(path.resolve()),
        file_bytes=path.stat().st_size,
        sha256=sha256_of(path),
    )
