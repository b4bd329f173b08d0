"""The long-lived child of one target in a survey: ``python -m profiler.survey_child``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from devices import HealthMeter
from devices.child import serve
from fleetfit import from_json
from fleetfit.statistics import percentile
from profiler.artifacts import built, load_timed, ready_inputs
from profiler.outputs import expected_outputs
from profiler.reference import reference_query
from profiler.requests import BuildRequest, Prepared, SurveyRequest
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
            return _prepare(from_json(BuildRequest, data))
        request = from_json(SurveyRequest, data)
        if request.kind == "reference":
            return self._reference(request)
        return self._visit(request)

    def _visit(self, request: SurveyRequest) -> Visit:
        protocol, query, seed = request.protocol, request.query, request.seed
        directory = Path(request.directory)
        found = built(query, directory, seed=seed)
        expected = expected_outputs(query, found.artifact, directory, seed=seed)
        loaded = load_timed(found.artifact)
        inputs, first_run_s = ready_inputs(
            loaded.session, query, seed=seed, count=protocol.inputs, expected=expected
        )
        loop = TimingLoop(loaded.session.run, inputs)
        with quiet_gc():
            self._health.read()
            loop.sample(seconds=protocol.warmup_s, runs=protocol.warmup_runs)
            samples = loop.sample(seconds=protocol.sample_s, runs=protocol.min_samples)
        return Visit(
            samples_s=samples,
            load_s=loaded.load_s,
            first_run_s=first_run_s,
            build_s=found.build_s,
            file_bytes=found.artifact.file_bytes,
            health=self._health.read(),
            properties=loaded.session.properties,
        )

    def _reference(self, request: SurveyRequest) -> float:
        query, protocol = request.query, request.protocol
        if self._loop is None:
            directory = Path(request.directory)
            artifact = built(query, directory, seed=0).artifact
            expected = expected_outputs(query, artifact, directory, seed=0)
            session = load_timed(artifact).session
            inputs, _ = ready_inputs(
                session, query, seed=0, count=protocol.inputs, expected=expected
            )
            self._loop = TimingLoop(session.run, inputs)
        loop = self._loop
        with quiet_gc():
            loop.sample(seconds=protocol.warmup_s / 2, runs=protocol.warmup_runs)
            samples = loop.sample(seconds=protocol.reference_s, runs=protocol.min_samples)
        return percentile(samples, 0.5)


def _prepare(request: BuildRequest) -> Prepared:
    query, place = request.query, Path(request.directory)
    found = None if request.artifact else built(query, place, seed=request.seed)
    model = request.artifact if found is None else found.artifact
    assert model is not None
    reference, beside = reference_query(query.target), place.parent / "reference"
    artifact = built(reference, beside, seed=0).artifact
    return Prepared(
        built=found,
        expected=str(expected_outputs(query, model, place, seed=request.seed)),
        reference=artifact,
        reference_expected=str(expected_outputs(reference, artifact, beside, seed=0)),
    )


if __name__ == "__main__":
    serve(SurveyChild().handle)
