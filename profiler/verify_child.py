"""One fresh process of the ``verify`` protocol: ``python -m profiler.verify_child``."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from devices import HealthMeter
from devices.child import serve
from fleetfit import Window, from_json
from profiler.artifacts import load_timed, ready_inputs
from profiler.beside import Beside, meter_of
from profiler.process import Process
from profiler.protocol import VerifyProtocol
from profiler.reference import reference_query
from profiler.requests import VerifyRequest
from profiler.timing import TimingLoop, has_settled, is_steady, quiet_gc

__all__ = ["Timed", "time_carefully", "verify_artifact"]

Look = Callable[[int], Window]
"""Called after every window with its number of samples."""
_LEAST_RUNS = 5
"""Of a window, however slow the network."""


def verify_artifact(data: Any) -> Process:
    """Load, compare outputs, warm up until settled, sample until steady."""
    request = from_json(VerifyRequest, data)
    query, protocol = request.query, request.protocol
    health, gpu = HealthMeter(), meter_of(query.target)
    loaded = load_timed(request.artifact)
    session = loaded.session
    inputs, first_run_s = ready_inputs(
        session,
        query,
        seed=request.seed,
        count=protocol.inputs,
        expected=Path(request.expected),
    )
    loop = TimingLoop(session.run, inputs, device_s=lambda: session.device_s)
    beside = Beside(loop, _reference_loop(request), protocol, gpu=gpu)
    timed = time_carefully(loop, protocol, look=beside)
    return Process(
        samples_s=tuple(s for window in timed.windows_s for s in window),
        device_samples_s=timed.device_s,
        windows=timed.windows,
        settled=timed.settled,
        steady=timed.steady,
        import_s=loaded.import_s,
        load_s=loaded.load_s,
        first_run_s=first_run_s,
        health=health.read(),
        properties=session.properties,
        gpu=beside.end(meter_of(query.target)),
    )


def _reference_loop(request: VerifyRequest) -> TimingLoop:
    """The loaded reference network, warm."""
    protocol = request.protocol
    query = reference_query(request.query.target)
    session = load_timed(request.reference).session
    inputs, _ = ready_inputs(
        session, query, seed=0, count=protocol.inputs, expected=Path(request.reference_expected)
    )
    loop = TimingLoop(session.run, inputs)
    loop.sample(seconds=protocol.reference_s, runs=protocol.warmup_runs)
    return loop


@dataclass(frozen=True, kw_only=True, slots=True)
class Timed:
    """Runs in windows."""

    windows_s: tuple[tuple[float, ...], ...]
    """Seconds of single runs."""
    device_s: tuple[float, ...]
    """Of the same runs by the device's clock; empty where it has none."""
    windows: tuple[Window, ...]
    settled: bool
    """In warm-up, before its cap."""
    steady: bool
    """Before the cap of sampling."""


def time_carefully(
    loop: TimingLoop,
    protocol: VerifyProtocol,
    *,
    look: Look = lambda samples: Window(samples=samples),
    clock: Callable[[], float] = time.monotonic,
) -> Timed:
    """Warm up until settled, then window after window until steady or the cap."""
    samples: list[tuple[float, ...]] = []
    device: list[float] = []
    windows: list[Window] = []
    with quiet_gc():
        settled = _warm_up(loop, protocol, clock)
        look(1)  # its readings up to here belong to the warm-up
        steady = False
        while not steady and not _at_cap(samples, protocol):
            samples.append(loop.sample(seconds=protocol.window_s, runs=_LEAST_RUNS))
            device += loop.device_samples_s
            steady = is_steady(samples, protocol)
            windows.append(look(len(samples[-1])))  # last: it brings the network back into caches
    return Timed(
        windows_s=tuple(samples),
        device_s=tuple(device),
        windows=tuple(windows),
        settled=settled,
        steady=steady,
    )


def _at_cap(windows_s: Sequence[Sequence[float]], protocol: VerifyProtocol) -> bool:
    """Whether sampling has taken as long as it may; time between windows does not count."""
    sampled_s = sum(map(sum, windows_s))
    enough = sum(map(len, windows_s)) >= protocol.min_samples
    return sampled_s >= (protocol.cap_s if enough else protocol.slow_cap_s)


def _warm_up(loop: TimingLoop, protocol: VerifyProtocol, clock: Callable[[], float]) -> bool:
    end = clock() + protocol.settle_cap_s
    runs = list(loop.sample(seconds=protocol.warmup_s, runs=protocol.warmup_runs))
    least = len(runs)
    while not (settled := has_settled(runs, protocol)):
        judged = len(runs) >= 2 * protocol.settle_runs
        most = max(protocol.settle_cap_runs, 2 * least)
        if judged and (clock() >= end or len(runs) >= most):
            break
        runs += loop.sample(seconds=0.0, runs=protocol.settle_runs)
    return settled


if __name__ == "__main__":
    serve(verify_artifact)
