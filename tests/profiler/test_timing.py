from __future__ import annotations

import gc
import math
import time

import numpy as np
import pytest

from profiler import VerifyProtocol
from profiler.timing import TimingLoop, has_settled, is_steady, quiet_gc
from profiler.verify_child import time_carefully

PROTOCOL = VerifyProtocol()
SHORT = VerifyProtocol(
    warmup_s=0.02, settle_cap_s=0.2, sample_s=0.1, min_samples=20, window_s=0.03, cap_s=0.4
)


def test_a_sleep_is_timed_as_long_as_it_is() -> None:
    samples = TimingLoop(time.sleep, [0.005]).sample(seconds=0.1, runs=5)
    assert 0.005 <= min(samples) < 0.006
    assert all(s > 0 for s in samples)


def test_inputs_rotate_across_calls() -> None:
    seen: list[int] = []
    loop = TimingLoop(seen.append, [0, 1, 2])
    loop.sample(seconds=0.0, runs=4)
    loop.sample(seconds=0.0, runs=3)
    assert seen == [0, 1, 2, 0, 1, 2, 0]


def test_both_minimums_hold() -> None:
    assert len(TimingLoop(time.sleep, [0.001]).sample(seconds=0.0, runs=7)) == 7
    start = time.perf_counter()
    TimingLoop(time.sleep, [0.001]).sample(seconds=0.05, runs=1)
    assert time.perf_counter() - start >= 0.05


def test_very_short_calls_end_too() -> None:
    assert len(TimingLoop(lambda _: None, [0]).sample(seconds=60.0)) == 65_536


def test_the_collector_is_off_inside_and_on_after_an_error() -> None:
    inside = []

    def fail() -> None:
        with quiet_gc():
            inside.append(gc.isenabled())
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert inside == [False]
    assert gc.isenabled()


def test_settled_runs_and_a_slow_start() -> None:
    rng = np.random.default_rng(0)
    level = 0.01 * (1 + 0.01 * rng.standard_normal(40))
    assert has_settled(level.tolist(), PROTOCOL)
    slow_start = level * np.r_[np.linspace(3, 1.2, 30), np.ones(10)]
    assert not has_settled(slow_start.tolist(), PROTOCOL)
    assert not has_settled(level.tolist()[:39], PROTOCOL)


def test_steady_needs_time_count_interval_and_level_windows() -> None:
    rng = np.random.default_rng(0)
    level = (0.01 * (1 + 0.02 * rng.standard_normal((6, 50)))).tolist()
    assert is_steady(level, PROTOCOL)
    assert not is_steady(level[:3], PROTOCOL)  # 1.5 s
    assert not is_steady([[0.05] * 10] * 5, PROTOCOL)  # 50 samples
    drifting = np.linspace(0.01, 0.02, 300).reshape(6, 50).tolist()
    assert not is_steady(drifting, PROTOCOL)


def test_a_bimodal_network_is_not_steady() -> None:
    rng = np.random.default_rng(0)
    modes = rng.choice([0.02, 0.03], size=(6, 20), p=[0.5, 0.5])
    assert not is_steady(modes.tolist(), PROTOCOL)


def test_a_slow_network_can_be_steady() -> None:
    assert is_steady([[0.3] * 5] * 13, PROTOCOL)


def test_a_sleep_is_verified_to_its_truth() -> None:
    timed = time_carefully(TimingLoop(time.sleep, [0.002]), SHORT)
    assert timed.steady
    assert np.median(timed.windows_s[-1]) == pytest.approx(0.002, rel=0.3)
    assert [w.samples for w in timed.windows] == [len(samples) for samples in timed.windows_s]
    assert timed.device_s == ()


class Slow:
    """A network of a fixed time a run, on a clock of its own, as a loop."""

    def __init__(self, run_s: float) -> None:
        self._run_s, self.now_s = run_s, 0.0
        self.device_samples_s: list[float] = []

    def sample(self, *, seconds: float, runs: int = 1) -> tuple[float, ...]:
        count = max(runs, math.ceil(seconds / self._run_s))
        self.now_s += count * self._run_s
        return (self._run_s,) * count


@pytest.mark.parametrize("run_s", [0.001, 0.17, 0.5, 0.9])
def test_a_slow_network_settles_and_is_steady(run_s: float) -> None:
    slow = Slow(run_s)
    timed = time_carefully(slow, PROTOCOL, clock=lambda: slow.now_s)  # type: ignore[arg-type]
    assert timed.settled
    assert timed.steady
    assert sum(map(len, timed.windows_s)) >= PROTOCOL.min_samples


def test_the_slowest_networks_end_at_a_cap() -> None:
    slow = Slow(3.0)
    timed = time_carefully(slow, PROTOCOL, clock=lambda: slow.now_s)  # type: ignore[arg-type]
    assert not timed.steady
    assert sum(map(sum, timed.windows_s)) <= PROTOCOL.slow_cap_s + 5 * 3.0


def test_a_device_s_own_times_stand_beside_each_run() -> None:
    loop = TimingLoop(time.sleep, [0.002], device_s=lambda: 0.001)
    timed = time_carefully(loop, SHORT)
    assert timed.device_s == (0.001,) * sum(map(len, timed.windows_s))


def test_a_slow_start_is_warmed_away() -> None:
    calls = 0

    def run(_: object) -> None:
        nonlocal calls
        calls += 1
        time.sleep(0.010 if calls <= 30 else 0.002)

    timed = time_carefully(TimingLoop(run, [0]), SHORT)
    assert max(map(np.median, timed.windows_s)) < 0.005


def test_an_unsteady_network_ends_at_the_cap() -> None:
    rng = np.random.default_rng(0)
    loop = TimingLoop(lambda _: time.sleep(float(rng.choice([0.001, 0.02]))), [0])
    start = time.monotonic()
    timed = time_carefully(loop, SHORT)
    assert not timed.steady
    assert timed.windows_s
    assert time.monotonic() - start < 2
