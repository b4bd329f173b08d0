"""The long-lived child of one target in a survey: ``python -m profiler.survey_child``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psutil

from devices import HealthMeter
from devices.child import serve
from fleetfit import from_json
from fleetfit.statistics import percentile
from profiler.artifacts import Built, built, load_timed, ready_inputs
from profiler.outputs import expected_outputs, plain_run_s
from profiler.reference import reference_query
from profiler.requests import BuildRequest, Prepared, SurveyRequest
from profiler.timing import TimingLoop, quiet_gc
from profiler.visit import Visit

__all__ = ["SurveyChild"]

_MOST_THREADS: Final = 256
"""Of all networks that stay loaded: a runtime may give each a pool of its own."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Ready:
    """A loaded network whose outputs are right."""

    found: Built
    properties: dict[str, str]
    loop: TimingLoop
    load_s: float
    first_run_s: float


class SurveyChild:
    """Answers survey requests of one target; keeps networks loaded while memory allows."""

    def __init__(self) -> None:
        """Nothing is loaded yet."""
        self._health = HealthMeter()
        self._kept: dict[tuple[str, int], _Ready] = {}
        self._reference: TimingLoop | None = None

    def handle(self, data: Any) -> object:
        """Answer one request."""
        if data["kind"] == "build":
            return _prepare(from_json(BuildRequest, data))
        request = from_json(SurveyRequest, data)
        if request.kind == "reference":
            return self._time_reference(request)
        return self._visit(request)

    def _visit(self, request: SurveyRequest) -> Visit:
        protocol, ready = request.protocol, self._ready(request)
        with quiet_gc():
            self._health.read()
            ready.loop.sample(seconds=protocol.warmup_s, runs=protocol.warmup_runs)
            samples = ready.loop.sample(seconds=protocol.sample_s, runs=protocol.min_samples)
        return Visit(
            samples_s=samples,
            load_s=ready.load_s,
            first_run_s=ready.first_run_s,
            build_s=ready.found.build_s,
            file_bytes=ready.found.artifact.file_bytes,
            health=self._health.read(),
            properties=ready.properties,
        )

    def _ready(self, request: SurveyRequest) -> _Ready:
        """Loaded now, or at an earlier visit and kept."""
        key = (request.query.id, request.seed)
        if key in self._kept:
            return self._kept[key]
        ready = _loaded(request)
        if self._may_keep(request):
            self._kept[key] = ready
        return ready

    def _may_keep(self, request: SurveyRequest) -> bool:
        """Memory and threads suffice, and idle threads do not spin beside other measurements."""
        target = request.query.target
        few = (len(self._kept) + 1) * target.threads <= _MOST_THREADS
        small = psutil.Process().memory_info().rss <= request.keep_bytes
        return few and small and not target.spinning

    def _time_reference(self, request: SurveyRequest) -> float:
        protocol = request.protocol
        if self._reference is None:
            self._reference = _loaded(request).loop
        loop = self._reference
        with quiet_gc():
            loop.sample(seconds=protocol.warmup_s / 2, runs=protocol.warmup_runs)
            samples = loop.sample(seconds=protocol.reference_s, runs=protocol.min_samples)
        return percentile(samples, 0.5)


def _loaded(request: SurveyRequest) -> _Ready:
    """Build what is missing, load it, and compare its outputs."""
    query, seed, directory = request.query, request.seed, Path(request.directory)
    found = built(query, directory, seed=seed)
    expected = expected_outputs(query, found.artifact, directory, seed=seed, plain=found.plain)
    loaded = load_timed(found.artifact)
    inputs, first_run_s = ready_inputs(
        loaded.session, query, seed=seed, count=request.protocol.inputs, expected=expected
    )
    return _Ready(
        found=found,
        properties=loaded.session.properties,
        loop=TimingLoop(loaded.session.run, inputs),
        load_s=loaded.load_s,
        first_run_s=first_run_s,
    )


def _prepare(request: BuildRequest) -> Prepared:
    query, place = request.query, Path(request.directory)
    found = None if request.artifact else built(query, place, seed=request.seed)
    reference, beside = reference_query(query.target), place.parent / "reference"
    usual = built(reference, beside, seed=0)
    model = request.artifact if found is None else found.artifact
    assert model is not None
    plain = request.plain if found is None else found.plain
    expected = expected_outputs(query, model, place, seed=request.seed, plain=plain)
    return Prepared(
        built=found,
        expected=str(expected),
        plain_run_s=plain_run_s(expected),
        reference=usual.artifact,
        reference_expected=str(
            expected_outputs(reference, usual.artifact, beside, seed=0, plain=usual.plain)
        ),
    )


if __name__ == "__main__":
    serve(SurveyChild().handle)
