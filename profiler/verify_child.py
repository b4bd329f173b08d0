"""One fresh process of the ``verify`` protocol: ``python -m profiler.verify_child``."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from devices import HealthMeter
from devices.child import serve
from fleetfit import from_json
from profiler.artifacts import load_timed, ready_inputs
from profiler.protocol import VerifyProtocol
from profiler.requests import VerifyRequest
from profiler.timing import TimingLoop, has_settled, is_steady, quiet_gc
from profiler.visit import Visit

__all__ = ["Verification", "time_carefully", "verify_artifact"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Verification:
    """What one process gave."""

    visit: Visit
    settled: bool
    """The runs settled during warm-up, before its cap."""
    steady: bool
    """Every rule for stopping held, before the cap of sampling."""


def verify_artifact(data: Any) -> Verification:
    """Load, warm up until settled, sample until steady."""
    request = from_json(VerifyRequest, data)
    health = HealthMeter()
    session, load_s = load_timed(request.artifact)
    count = request.protocol.inputs
    inputs = ready_inputs(session, request.query, seed=request.seed, count=count)
    loop = TimingLoop(session.run, inputs)
    samples, settled, steady = time_carefully(loop, request.protocol)
    visit = Visit(
        samples_s=samples,
        load_s=load_s,
        file_bytes=request.artifact.file_bytes,
        health=health.read(),
        properties=session.properties,
    )
    return Verification(visit=visit, settled=settled, steady=steady)


def time_carefully(
    loop: TimingLoop, protocol: VerifyProtocol, *, clock: Callable[[], float] = time.monotonic
) -> tuple[tuple[float, ...], bool, bool]:
    """(samples in seconds, settled during warm-up, steady before the cap)."""
    with quiet_gc():
        settled = _warm_up(loop, protocol, clock)
        end = clock() + protocol.cap_s
        samples = list(loop.sample(seconds=protocol.window_s))
        while not (steady := is_steady(samples, protocol)) and clock() < end:
            samples += loop.sample(seconds=protocol.window_s)
    return tuple(samples), settled, steady


def _warm_up(loop: TimingLoop, protocol: VerifyProtocol, clock: Callable[[], float]) -> bool:
    end = clock() + protocol.settle_cap_s
    runs = list(loop.sample(seconds=protocol.warmup_s, runs=protocol.warmup_runs))
    least = len(runs)
    while not (settled := has_settled(runs, protocol)):
        if clock() >= end or len(runs) >= max(protocol.settle_cap_runs, 2 * least):
            break
        runs += loop.sample(seconds=0.0, runs=protocol.settle_runs)
    return settled


if __name__ == "__main__":
    serve(verify_artifact)
