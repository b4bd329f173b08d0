from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.gpu_samples import GpuSample, energy_of, highest, mean_clock, median_clock


def clocks(*pairs: tuple[float, float | None]) -> list[GpuSample]:
    return [GpuSample(at_s=at, sm_clock_hz=hz) for at, hz in pairs]


def test_clocks_of_a_stretch_are_averaged() -> None:
    samples = clocks((0, 1.0), (1, 2.0), (2, 4.0), (3, None), (4, 9.0))
    assert mean_clock(samples, 0.5, 3.5) == 3.0


def test_between_samples_the_neighbours_count() -> None:
    samples = clocks((0, 1.0), (1, 3.0), (2, 8.0))
    assert mean_clock(samples, 0.2, 0.8) == 2.0
    assert mean_clock(samples, 5, 6) == 8.0


def test_nothing_known_nothing_said() -> None:
    assert mean_clock(clocks((0, None)), 0, 1) is None
    assert median_clock([]) is None
    assert highest([None]) is None
    assert energy_of([GpuSample(at_s=0, power_w=5.0)]) is None


def test_half_a_clock_is_the_median() -> None:
    assert median_clock(clocks((0, 1.0), (1, None), (2, 5.0), (3, 9.0))) == 5.0


@given(
    st.lists(st.floats(0.001, 10), min_size=1, max_size=20), st.floats(0, 1000), st.floats(-9, 9)
)
def test_energy_of_power_on_a_line_is_exact(steps: list[float], base: float, slope: float) -> None:
    at, samples = 0.0, [GpuSample(at_s=0.0, power_w=base)]
    for step in steps:
        at += step
        samples.append(GpuSample(at_s=at, power_w=base + slope * at))
    exact = base * at + slope * at * at / 2
    assert energy_of(samples) == pytest.approx(exact, rel=1e-6, abs=1e-6)
