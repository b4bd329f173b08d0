"""The bench of this machine: one long-lived child per target, artefacts shared between them."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any, Final, Literal

from devices import Worker
from fleetfit import Query, SurroundingsError, Target, digest, from_json
from profiler.bench import Bench
from profiler.calm import Calm, machine_cores
from profiler.memory import measure_memory
from profiler.protocol import SurveyProtocol
from profiler.reference import reference_query
from profiler.requests import BuildRequest, Prepared, SurveyRequest
from profiler.visit import MemoryUse, Visit

__all__ = ["WorkerBench"]

_KEEP_BYTES: Final = 3 * 2**30
"""Artefacts are kept for the next visit up to this much."""
_KEEP_SHARE: Final = 0.25
"""And up to this share of the space that is free."""


class WorkerBench(Bench):
    """Measures in children of ``module``; at most one of them works at a time."""

    def __init__(
        self,
        scratch: Path,
        protocol: SurveyProtocol,
        *,
        keep_bytes: int = 0,
        module: str = "profiler.survey_child",
    ) -> None:
        """``scratch`` holds artefacts and is the caller's to remove.

        ``keep_bytes``: resident memory of each child up to which it keeps networks loaded.
        """
        self._scratch, self._protocol, self._module = scratch, protocol, module
        self._keep_bytes = keep_bytes
        self._calm = Calm(
            protocol.limits,
            cores=machine_cores(),
            look_s=protocol.look_s,
            wait_s=protocol.wait_all_s,
        )
        self._workers: dict[str, Worker] = {}
        self._kept: dict[Path, int] = {}  # least recently used first

    def now_s(self) -> float:
        """See Bench."""
        return time.monotonic()

    def visit(self, query: Query, *, seed: int) -> Visit:
        """See Bench."""
        directory = self._directory(query)
        visit = from_json(Visit, self._ask(self._request("visit", query, directory, seed)))
        self._keep(directory)
        return visit

    def reference(self, target: Target) -> float:
        """See Bench."""
        query = reference_query(target)
        request = self._request("reference", query, self._scratch / "reference", 0)
        return from_json(float, self._ask(request, target))

    def memory(self, query: Query, *, seed: int) -> MemoryUse:
        """See Bench; the survey child builds the artefact, another one loads it."""
        directory = self._directory(query)
        request = BuildRequest(query=query, directory=str(directory), seed=seed)
        prepared = from_json(Prepared, self._ask(request))
        assert prepared.built is not None
        artifact = prepared.built.artifact
        self._keep(directory)
        timeout_s = self._protocol.request_timeout_s
        return measure_memory(
            query, artifact, scratch=self._scratch, seed=seed, timeout_s=timeout_s
        )

    def wait_for_calm(self, at_most_s: float) -> bool:
        """See Bench."""
        return self._calm.wait(lambda note: None, at_most_s=at_most_s)

    def close(self) -> None:
        """See Bench."""
        for worker in self._workers.values():
            worker.kill()  # nothing of a child is needed any more
        self._workers.clear()
        for directory in list(self._kept):
            self._drop(directory)

    def _request(
        self, kind: Literal["visit", "reference"], query: Query, place: Path, seed: int
    ) -> SurveyRequest:
        return SurveyRequest(
            kind=kind,
            query=query,
            directory=str(place),
            seed=seed,
            protocol=self._protocol,
            keep_bytes=self._keep_bytes,
        )

    def _ask(self, request: BuildRequest | SurveyRequest, target: Target | None = None) -> Any:
        """Of the child of ``target``, the query's own where not given."""
        target = target or request.query.target
        if target.id not in self._workers or self._workers[target.id].has_ended:
            self._workers[target.id] = Worker(self._module)
        timeout_s = self._protocol.request_timeout_s
        try:
            return self._workers[target.id].request(request, timeout_s=timeout_s)
        except SurroundingsError as exc:
            what = request.query.architecture.summary()
            raise type(exc)(f"{exc} It was measuring {what} in {target}.") from exc

    def _directory(self, query: Query) -> Path:
        # By network, not by query: targets and workloads share a file where they can.
        return self._scratch / digest((query.architecture.cost_id,))

    def _keep(self, directory: Path) -> None:
        """Note what is there now; remove the least recently used above the limit."""
        self._kept.pop(directory, None)
        files = [path for path in directory.rglob("*") if path.is_file()]
        self._kept[directory] = sum(path.stat().st_size for path in files)
        free = shutil.disk_usage(self._scratch).free
        limit = min(_KEEP_BYTES, int(_KEEP_SHARE * (free + sum(self._kept.values()))))
        while len(self._kept) > 1 and sum(self._kept.values()) > limit:
            self._drop(next(iter(self._kept)))

    def _drop(self, directory: Path) -> None:
        shutil.rmtree(directory, ignore_errors=True)
        self._kept.pop(directory, None)
