"""The ``verify`` protocol: configurations in fresh processes, until the figures stand."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from devices import Worker, machine_lock, run_isolated, scratch_directory
from exporters import Artifact, artifact_of
from fleetfit import (
    DeviceInfo,
    FleetfitError,
    InputError,
    Job,
    Measurement,
    Query,
    from_json,
    versions_of,
)
from profiler.calm import Calm, machine_cores
from profiler.clock import utc_now
from profiler.memory import measure_memory
from profiler.process import Process, tagged
from profiler.protocol import VerifyProtocol
from profiler.requests import BuildRequest, Prepared, VerifyRequest
from profiler.store import Store
from profiler.survey_settings import Progress
from profiler.usual import Usual
from profiler.verification import Verification

__all__ = [
    "ModelFile",
    "VerifySettings",
    "keep_better",
    "verified",
    "verify",
    "verify_all",
    "verify_each",
]

Keep = Callable[[Measurement], object]


@dataclass(frozen=True, kw_only=True, slots=True)
class VerifySettings:
    """How a verification goes."""

    protocol: VerifyProtocol = field(default_factory=VerifyProtocol)
    seed: int = 0
    """Of weights and inputs."""
    order_seed: int | None = None
    """Of the order of processes; None: another one every time."""
    memory: bool = True
    """Whether memory children run between the timed processes."""
    lock_wait_s: float = 60.0
    """How long another measurement on this machine is waited for."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelFile:
    """An exported model of a query, measured in the place of seeded random weights."""

    query: Query
    path: Path
    plain: Path | None = None
    """The emitted fp32 ONNX file, which says what the outputs must be; None: ``path``."""


def verify(
    what: Query | ModelFile,
    *,
    device: DeviceInfo,
    store: Store | None = None,
    settings: VerifySettings = VerifySettings(),
    progress: Progress | None = None,
) -> Measurement:
    """Measure a network on this machine.

    ``store`` tells how fast the machine usually is, and learns it; the measurement is the caller's
    to store. ``progress`` counts child processes. A status other than ``ok`` has its reasons in
    ``flags``; the samples are there all the same. Raises InputError for a model file that is
    missing or not readable by the runtime, SurroundingsError where another measurement holds the
    machine, a child fails, or the outputs are not those of the ONNX graph.
    """
    found = verify_all([what], device=device, store=store, settings=settings, progress=progress)
    return found[0]


def verify_all(
    what: Sequence[Query | ModelFile],
    *,
    device: DeviceInfo,
    store: Store | None = None,
    settings: VerifySettings = VerifySettings(),
    progress: Progress | None = None,
) -> list[Measurement]:
    """``verify`` of many, in their order.

    Their processes take turns in random order: what wanders over minutes is then in the spread
    between the processes of each, not in the differences between them.
    """
    usual = Usual(device, settings.protocol.limits, store)
    return verify_each(what, usual, settings, progress)


def verify_each(
    what: Sequence[Query | ModelFile],
    usual: Usual,
    settings: VerifySettings,
    progress: Progress | None = None,
    *,
    keep: Keep = lambda found: None,
) -> list[Measurement]:
    """``verify_all``; ``keep`` is called with each measurement as soon as it is complete."""
    items = [(w, None) if isinstance(w, Query) else (w.query, w) for w in what]
    return _Run(items, usual, settings, progress, keep).measurements()


def verified(
    queries: Sequence[Query],
    *,
    store: Store,
    device: DeviceInfo,
    settings: VerifySettings = VerifySettings(),
    progress: Progress | None = None,
) -> list[Measurement]:
    """Verifications under random weights, in order: from the store, or made and stored now.

    One that is not ``ok``, lacks the memory that is wanted, or was made under another version of
    its runtime is made again. Raises as ``verify``.
    """
    known = [_known(query, store, device, settings) for query in queries]
    missing = list(dict.fromkeys(q for q, m in zip(queries, known, strict=True) if m is None))
    if missing:
        usual = Usual(device, settings.protocol.limits, store)
        found = verify_each(
            missing, usual, settings, progress, keep=functools.partial(keep_better, store)
        )
        made = dict(zip(missing, found, strict=True))
        known = [m or made[q] for q, m in zip(queries, known, strict=True)]
    return [m for m in known if m is not None]


def keep_better(store: Store, found: Measurement) -> None:
    """Store ``found``, as a repeat where a better one is there; one no better becomes a repeat."""
    store.put_better(found)


def _known(
    query: Query, store: Store, device: DeviceInfo, settings: VerifySettings
) -> Measurement | None:
    """What the store has, where it is whole, current and undisturbed."""
    versions = versions_of(query.target, device)
    found = store.get(_job(query, settings, None), device.name, versions)
    if found is None or found.status != "ok":
        return None
    return found if found.memory_bytes is not None or not settings.memory else None


def _job(query: Query, settings: VerifySettings, model_sha256: str | None) -> Job:
    return Job(
        query=query,
        protocol="verify",
        protocol_version=settings.protocol.version,
        seed=settings.seed,
        model_sha256=model_sha256,
    )


class _Run:
    """The processes of some verifications, in turns; one measurement each at the end."""

    def __init__(
        self,
        items: Sequence[tuple[Query, ModelFile | None]],
        usual: Usual,
        settings: VerifySettings,
        progress: Progress | None,
        keep: Keep,
    ) -> None:
        protocol, device = settings.protocol, usual.device
        self._items, self._device, self._settings = items, device, settings
        self._progress = progress or (lambda done, total, note: None)
        self._usual, self._keep = usual, keep
        self._calm = Calm(
            protocol.limits,
            cores=machine_cores(),
            look_s=protocol.look_s,
            wait_s=protocol.wait_s * len(items),
        )
        self._open: list[Verification] = []
        self._found: dict[int, Measurement] = {}
        self._failed: dict[int, FleetfitError] = {}

    def measurements(self) -> list[Measurement]:
        """Prepare, measure, and judge; one that fails costs only itself, and is raised last."""
        with (
            machine_lock("a verification", timeout_s=self._settings.lock_wait_s) as lock,
            scratch_directory(lock) as scratch,
        ):
            self._prepare(scratch)
            rng = np.random.default_rng(self._settings.order_seed)
            while left := [at for at in range(len(self._open)) if at not in self._ended]:
                for at in rng.permutation(left):
                    self._step(int(at), scratch)
        self._tell("")
        if self._failed:
            raise next(iter(self._failed.values()))
        return [self._found[at] for at in range(len(self._open))]

    @property
    def _ended(self) -> set[int]:
        return self._found.keys() | self._failed.keys()

    def _prepare(self, scratch: Path) -> None:
        """Build every artefact in one child, whose memory ends with it."""
        protocol, seed = self._settings.protocol, self._settings.seed
        timeout_s = protocol.process_timeout_s
        with Worker("profiler.survey_child") as child:
            for query, model in self._items:
                self._progress(0, 0, f"building {query.architecture.summary()}")
                place = str(scratch / query.architecture.id)
                given = None if model is None else _artifact(model)
                plain = "" if model is None or model.plain is None else str(model.plain.resolve())
                request = BuildRequest(
                    query=query, directory=place, seed=seed, artifact=given, plain=plain
                )
                prepared = from_json(Prepared, child.request(request, timeout_s=timeout_s))
                self._open.append(self._verification(query, given, prepared))

    def _verification(
        self, query: Query, given: Artifact | None, prepared: Prepared
    ) -> Verification:
        settings = self._settings
        artifact = given if prepared.built is None else prepared.built.artifact
        assert artifact is not None
        request = VerifyRequest(
            query=query,
            artifact=artifact,
            expected=prepared.expected,
            reference=prepared.reference,
            reference_expected=prepared.reference_expected,
            seed=settings.seed,
            protocol=settings.protocol,
        )
        return Verification(
            query=query,
            job=_job(query, settings, None if given is None else given.sha256),
            request=request,
            prepared=prepared,
            memory_wanted=settings.protocol.memory_processes if settings.memory else 0,
        )

    def _step(self, at: int, scratch: Path) -> None:
        """What is wanted next of one of them, and the end once nothing is."""
        one = self._open[at]
        what = f"{one.query.architecture.summary()} in {one.query.target}"
        try:
            self._measure(one, what, scratch)
        except FleetfitError as exc:
            self._failed[at] = type(exc)(f"{exc} It was verifying {what}.")
            return
        if not one.wants_process and not one.wants_memory:
            self._found[at] = one.measurement(self._device, utc_now)
            self._keep(self._found[at])

    def _measure(self, one: Verification, what: str, scratch: Path) -> None:
        """One timed process and one memory child, as far as they are wanted."""
        if one.wants_process:
            self._calm.wait(self._tell)
            self._tell(f"{what}, process {len(one.processes) + 1}")
            one.processes.append(self._process(one))
        if one.wants_memory:
            self._tell(f"{what}, memory")
            timeout_s, seed = self._settings.protocol.process_timeout_s, self._settings.seed
            artifact = one.request.artifact
            one.memory.append(
                measure_memory(one.query, artifact, scratch=scratch, seed=seed, timeout_s=timeout_s)
            )

    def _process(self, one: Verification) -> Process:
        protocol, target = self._settings.protocol, one.query.target
        timeout_s = protocol.process_timeout_s + protocol.timeout_runs * one.prepared.plain_run_s
        answer = run_isolated("profiler.verify_child", one.request, timeout_s=timeout_s)
        found = from_json(Process, answer)
        usual_s = self._usual.level_s(target)
        if found.reference_s is not None:
            self._usual.add(target, found.reference_s)
        return tagged(found, protocol.limits, cores=machine_cores(), usual_s=usual_s)

    def _tell(self, note: str) -> None:
        done = sum(len(v.processes) + len(v.memory) for v in self._open)
        left = sum(v.left for at, v in enumerate(self._open) if at not in self._failed)
        self._progress(done, done + left, note)


def _artifact(model: ModelFile) -> Artifact:
    query, path = model.query, model.path
    if not path.is_file():
        raise InputError(f"The model must be an existing file, but {path} is not there.")
    return artifact_of(path.resolve(), query.target, query.workload)
