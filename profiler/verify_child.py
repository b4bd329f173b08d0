"""One fresh process of the ``verify`` protocol: ``python -m profiler.verify_child``."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from devices import HealthMeter, WindowMeter
from devices.child import serve
from fleetfit import Query, Window, from_json
from fleetfit.statistics import percentile
from profiler.artifacts import load_timed, ready_inputs
from profiler.process import Process
from profiler.protocol import VerifyProtocol
from profiler.reference import reference_query
from profiler.requests import VerifyRequest
from profiler.timing import TimingLoop, has_settled, is_steady, quiet_gc

__all__ = ["time_carefully", "verify_artifact"]

Look = Callable[[int], Window]
"""Called after every window with its number of samples."""


def verify_artifact(data: Any) -> Process:
    """Load, compare outputs, warm up until settled, sample until steady."""
    request = from_json(VerifyRequest, data)
    query, protocol = request.query, request.protocol
    health = HealthMeter()
    loaded = load_timed(request.artifact)
    inputs, first_run_s = ready_inputs(
        loaded.session,
        query,
        seed=request.seed,
        count=protocol.inputs,
        expected=Path(request.expected),
    )
    loop = TimingLoop(loaded.session.run, inputs)
    look = _Beside(loop, _reference_loop(request), protocol)
    samples, windows, settled, steady = time_carefully(loop, protocol, look=look)
    return Process(
        samples_s=tuple(s for window in samples for s in window),
        windows=windows,
        settled=settled,
        steady=steady,
        import_s=loaded.import_s,
        load_s=loaded.load_s,
        first_run_s=first_run_s,
        health=health.read(),
        properties=loaded.session.properties,
    )


class _Beside:
    """What is read and timed between windows."""

    def __init__(self, loop: TimingLoop, reference: TimingLoop, protocol: VerifyProtocol) -> None:
        self._loop, self._reference, self._protocol = loop, reference, protocol
        self._meter = WindowMeter()

    def __call__(self, samples: int) -> Window:
        found = self._meter.read()
        times = self._reference.sample(seconds=self._protocol.reference_s, runs=5)
        if self._protocol.refresh_runs:
            self._loop.sample(seconds=0.0, runs=self._protocol.refresh_runs)
        self._meter.read()  # the next window begins
        return Window(
            samples=samples,
            steal=found.steal,
            other_load=found.other_load,
            waiting=found.waiting,
            switches=found.switches,
            reference_s=percentile(times, 0.5),
        )


def _reference_loop(request: VerifyRequest) -> TimingLoop:
    """The loaded reference network, warm."""
    protocol = request.protocol
    query: Query = reference_query(request.query.target)
    session = load_timed(request.reference).session
    inputs, _ = ready_inputs(
        session, query, seed=0, count=protocol.inputs, expected=Path(request.reference_expected)
    )
    loop = TimingLoop(session.run, inputs)
    loop.sample(seconds=protocol.reference_s, runs=protocol.warmup_runs)
    return loop


def time_carefully(
    loop: TimingLoop,
    protocol: VerifyProtocol,
    *,
    look: Look = lambda samples: Window(samples=samples),
    clock: Callable[[], float] = time.monotonic,
) -> tuple[list[tuple[float, ...]], tuple[Window, ...], bool, bool]:
    """(samples in seconds by window, the windows, settled in warm-up, steady before the cap)."""
    samples: list[tuple[float, ...]] = []
    windows: list[Window] = []
    with quiet_gc():
        settled = _warm_up(loop, protocol, clock)
        look(1)  # its readings up to here belong to the warm-up
        end = clock() + protocol.cap_s
        while not (steady := is_steady(samples, protocol)) and (not samples or clock() < end):
            samples.append(loop.sample(seconds=protocol.window_s, runs=_LEAST_RUNS))
            windows.append(look(len(samples[-1])))
    return samples, tuple(windows), settled, steady


_LEAST_RUNS = 5
"""Of a window, however slow the network."""


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
