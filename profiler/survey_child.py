"""The long-lived child of one target in a survey: ``python -m profiler.survey_child``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from devices import HealthMeter
from devices.child import serve
from fleetfit import from_json
from fleetfit.statistics import percentile
from profiler.artifacts import artifact_of, load_timed, ready_inputs
from profiler.requests import BuildRequest, SurveyRequest
from profiler.timing import TimingLoop, quiet_gc
from profiler.visit import Visit

__all__ = ["SurveyChild"]


class SurveyChild:
    """Answers survey requests; keeps the reference network loaded."""

    def __init__(self) -> None:
        """Nothing is loaded yet."""
        self._health = HealthMeter()
        self._loop: TimingLoop | None = None  # of the reference network; a child has one target

    def handle(self, data: Any) -> object:
        """Answer one request."""
        if data["kind"] == "build":
            build = from_json(BuildRequest, data)
            return artifact_of(build.query, Path(build.directory), seed=build.seed)
        request = from_json(SurveyRequest, data)
        if request.kind == "reference":
            return self._reference(request)
        return self._visit(request)

    def _visit(self, request: SurveyRequest) -> Visit:
        protocol, query = request.protocol, request.query
        artifact = artifact_of(query, Path(request.directory), seed=request.seed)
        self._health.read()
        session, load_s = load_timed(artifact)
        inputs = ready_inputs(session, query, seed=request.seed, count=protocol.inputs)
        loop = TimingLoop(session.run, inputs)
        with quiet_gc():
            loop.sample(seconds=protocol.warmup_s, runs=protocol.warmup_runs)
            samples = loop.sample(seconds=protocol.sample_s, runs=protocol.min_samples)
        return Visit(
            samples_s=samples,
            load_s=load_s,
            file_bytes=artifact.file_bytes,
            health=self._health.read(),
            properties=session.properties,
        )

    def _reference(self, request: SurveyRequest) -> float:
        query, protocol = request.query, request.protocol
        if self._loop is None:
            artifact = artifact_of(query, Path(request.directory), seed=0)
            session, _ = load_timed(artifact)
            inputs = ready_inputs(session, query, seed=0, count=protocol.inputs)
            self._loop = TimingLoop(session.run, inputs)
        loop = self._loop
        with quiet_gc():
            loop.sample(seconds=protocol.warmup_s / 2, runs=protocol.warmup_runs)
            samples = loop.sample(seconds=protocol.reference_s, runs=protocol.min_samples)
        return percentile(samples, 0.5)


if __name__ == "__main__":
    serve(SurveyChild().handle)
