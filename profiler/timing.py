"""The timing loop: one synchronous call between two readings of a nanosecond clock."""

from __future__ import annotations

import contextlib
import gc
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import numpy as np

from fleetfit.statistics import bootstrap_interval, percentile
from profiler.protocol import VerifyProtocol

__all__ = ["TimingLoop", "has_settled", "is_steady", "quiet_gc"]

_CAPACITY: Final = 1 << 16
_DRAWS: Final = 200
_WINDOWS: Final = 3


@contextlib.contextmanager
def quiet_gc() -> Iterator[None]:
    """Keep the garbage collector out of the block."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


class TimingLoop:
    """Calls ``run`` with each of ``inputs`` in turn and times every call."""

    def __init__(
        self,
        run: Callable[[Any], object],
        inputs: Sequence[Any],
        *,
        device_s: Callable[[], float | None] = lambda: None,
    ) -> None:
        """``run`` must return only when its result is there.

        ``device_s`` gives the seconds of the last run by the clock of a device, where it has one.
        """
        self._run, self._inputs, self._next = run, inputs, 0
        self._device_s = device_s
        self.device_samples_s: list[float] = []
        """Of the last ``sample``, where the device has a clock."""
        self._clock_ns = np.empty(_CAPACITY, dtype=np.int64)  # preallocated: no growth inside

    def sample(self, *, seconds: float, runs: int = 1) -> tuple[float, ...]:
        """Seconds of single calls: at least ``runs`` of them and until ``seconds`` have passed.

        At most 65,536 samples, so that very short calls end too. Call inside ``quiet_gc``.
        """
        run, inputs, times, now = self._run, self._inputs, self._clock_ns, time.perf_counter_ns
        read, self.device_samples_s = self._device_s, []
        runs = min(runs, _CAPACITY)
        count, at, pool = 0, self._next, len(inputs)
        end = now() + int(seconds * 1e9)
        while count < _CAPACITY:
            chosen = inputs[at]
            start = now()
            run(chosen)
            stop = now()
            times[count] = stop - start
            count += 1
            device_s = read()
            if device_s is not None:
                self.device_samples_s.append(device_s)
            at = (at + 1) % pool
            if stop >= end and count >= runs:
                break
        self._next = at
        # A call shorter than the clock's step counts as one step, so that samples stay positive.
        return tuple((np.maximum(times[:count], 1) / 1e9).tolist())


def has_settled(samples_s: Sequence[float], protocol: VerifyProtocol) -> bool:
    """Whether the last ``settle_runs`` runs are like the same number before them (after pyperf)."""
    size = protocol.settle_runs
    if len(samples_s) < 2 * size:
        return False
    recent = np.asarray(samples_s[-2 * size :])
    before, after = recent[:size], recent[size:]
    first, second = (np.quantile(half, [0.25, 0.75]) for half in (before, after))
    if np.any(np.abs(second - first) > protocol.settle_quartiles * first):
        return False
    scale = float(np.median(before))
    spread = [float(np.median(np.abs(half - np.median(half)))) for half in (before, after)]
    return abs(spread[1] - spread[0]) <= protocol.settle_mad * scale


def is_steady(windows_s: Sequence[Sequence[float]], protocol: VerifyProtocol) -> bool:
    """Whether sampling may stop: long enough, many enough, level windows, a narrow interval."""
    samples = [s for window in windows_s for s in window]
    if len(samples) < protocol.min_samples or sum(samples) < protocol.sample_s:
        return False
    levels = [percentile(window, 0.5) for window in windows_s[-_WINDOWS:]]
    if len(levels) < _WINDOWS or max(levels) > protocol.window_ratio * min(levels):
        return False
    low, high = bootstrap_interval([samples], draws=_DRAWS)
    return (high - low) / 2 <= protocol.half_width * percentile(samples, 0.5)
