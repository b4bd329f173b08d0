"""Statistics against figures worked out by hand."""

from __future__ import annotations

import math
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetfit import InputError
from fleetfit.statistics import (
    P99_SAMPLES,
    _drawn,
    bootstrap_interval,
    median_of_medians,
    outliers,
    percentile,
    relative_noise,
    upper_bound,
)

seconds = st.floats(1e-6, 1e3)


@pytest.mark.parametrize(
    ("share", "wanted"),
    [(1e-12, 1), (0.1, 1), (0.11, 2), (0.5, 5), (0.51, 6), (0.9, 9), (0.91, 10), (1, 10)],
)
def test_percentile_of_one_to_ten(share: float, wanted: float) -> None:
    assert percentile([10, 3, 7, 1, 5, 9, 2, 8, 6, 4], share) == wanted


@pytest.mark.parametrize("tenths", range(1, 11))
def test_percentile_does_not_trip_over_rounding(tenths: int) -> None:
    # 0.1 * 3 * 10 is 3.0000000000000004 in binary
    assert percentile(list(range(1, 31)), tenths / 10) == 3 * tenths


@given(st.lists(seconds, min_size=1), st.floats(0, 1, exclude_min=True))
def test_percentile_is_a_sample_with_the_share_at_or_below_it(
    samples: list[float], share: float
) -> None:
    value = percentile(samples, share)
    assert value in samples
    assert sum(s <= value for s in samples) >= share * len(samples) - 1e-6
    assert sum(s < value for s in samples) < max(share * len(samples), 1e-6)


@pytest.mark.parametrize(("samples", "share"), [([], 0.5), ([1.0], 0), ([1.0], 1.1), ([1.0], -1)])
def test_percentile_refuses_nonsense(samples: list[float], share: float) -> None:
    with pytest.raises(InputError, match="0 < share <= 1"):
        percentile(samples, share)


def test_median_of_medians_by_hand() -> None:
    # medians (order statistic): 2, 4, 9; then for two processes the mean of both
    assert median_of_medians([[1, 2, 3, 50], [4, 4, 4], [8, 9, 90]]) == 4
    assert median_of_medians([[1, 2, 3, 50], [8, 9, 90]]) == 5.5
    assert median_of_medians([[1, 2, 3, 50], [4, 4, 4], [8, 9, 90]], 1.0) == 50


def test_relative_noise_by_hand() -> None:
    # medians 1, 2, 3: mean 2, standard deviation 1, standard error 1/sqrt(3)
    assert relative_noise([[1], [2], [3]]) == pytest.approx(1 / math.sqrt(3) / 2)
    assert relative_noise([[1, 2, 3]]) == 0


def test_no_processes_are_refused_everywhere() -> None:
    for statistic in (median_of_medians, bootstrap_interval, relative_noise):
        with pytest.raises(InputError, match="at least one process"):
            statistic([])
    with pytest.raises(InputError, match="at least one sample"):
        bootstrap_interval([[1.0], []])


def test_bootstrap_of_equal_samples_is_a_point() -> None:
    assert bootstrap_interval([[2.0] * 5, [2.0] * 3]) == (2.0, 2.0)


@given(st.lists(st.lists(seconds, min_size=1, max_size=6), min_size=1, max_size=4))
def test_bootstrap_stays_within_the_samples_and_repeats(processes: list[list[float]]) -> None:
    low, high = bootstrap_interval(processes, draws=50)
    everything = [s for p in processes for s in p]
    assert min(everything) <= low <= high <= max(everything)
    assert (low, high) == bootstrap_interval(processes, draws=50)


def test_bootstrap_covers_the_true_median_about_95_times_in_100(rng: np.random.Generator) -> None:
    # one process of 60 normal samples; the binomial deviation over 300 trials is 0.013
    hits = 0
    for _ in range(300):
        low, high = bootstrap_interval([list(rng.normal(10, 1, 60))], draws=300)
        hits += low <= 10 <= high
    assert 0.90 <= hits / 300 <= 0.99


def test_bootstrap_of_two_far_processes_spans_both() -> None:
    low, high = bootstrap_interval([[1.0] * 9, [2.0] * 9])
    assert (low, high) == (1.0, 2.0)


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9, 1.0])
def test_the_bootstrap_agrees_with_drawing_every_sample(
    rng: np.random.Generator, share: float
) -> None:
    values, draws = np.arange(1.0, 12.0), 40_000
    rank = math.ceil(share * 11) - 1
    brute = np.sort(rng.choice(values, size=(draws, 11)), axis=1)[:, rank]
    found = _drawn(values.tolist(), share, draws, rng)
    for value in values:
        wanted = float(np.mean(brute <= value))
        # five standard errors of a difference of two shares, each at most sqrt(1/4 / draws)
        assert np.mean(found <= value) == pytest.approx(wanted, abs=5 * math.sqrt(0.5 / draws))


def test_bootstrap_of_many_samples_takes_little_memory() -> None:
    tracemalloc.start()
    try:
        bootstrap_interval([np.linspace(1, 2, 20_000).tolist()])
        assert tracemalloc.get_traced_memory()[1] < 20 * 2**20
    finally:
        tracemalloc.stop()


def test_the_noise_of_a_high_percentile_is_its_own() -> None:
    steady_median = [[1.0, 1.0, 2.0], [1.0, 1.0, 4.0]]
    assert relative_noise(steady_median) == 0
    # 2 and 4: mean 3, standard error 1
    assert relative_noise(steady_median, 0.9) == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("share", "least"), [(0.5, 11), (0.75, 24), (0.9, 64), (0.95, 130), (0.99, P99_SAMPLES)]
)
def test_upper_bounds_need_as_many_samples_as_loadgen_says(share: float, least: int) -> None:
    """The counts of MLPerf's loadgen at 99 % confidence and tolerance 0."""
    samples = [float(k) for k in range(least)]
    assert upper_bound(samples[1:], share) is None
    assert upper_bound(samples, share) == least - 1


def test_upper_bounds_hold_at_their_confidence() -> None:
    rng = np.random.default_rng(0)
    bounds = [upper_bound(rng.random(100).tolist(), 0.9) for _ in range(2000)]
    assert np.mean([b is not None and b >= 0.9 for b in bounds]) >= 0.99 - 3 * 0.0023


@given(st.lists(seconds, min_size=11, max_size=300))
def test_an_upper_bound_is_no_less_than_its_percentile(samples: list[float]) -> None:
    bound = upper_bound(samples, 0.5)
    assert bound is not None
    assert bound >= percentile(samples, 0.5)


def test_a_percentile_that_is_none_is_refused() -> None:
    with pytest.raises(InputError, match="share"):
        upper_bound([1.0], 0.0)
    assert upper_bound([1.0, 2.0], 1.0) is None


def test_outliers_by_hand() -> None:
    # Quartiles 3 and 8, fences at 1.5 and 3 times 5: above 15.5 mild, above 23 severe.
    samples = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]
    assert outliers(samples) == (0, 0)
    assert outliers([1, 2, 3, 4, 5, 6, 7, 8, 16, 24]) == (1, 1)
    assert outliers([1.0]) == (0, 0)
