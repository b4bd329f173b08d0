from __future__ import annotations

from collections.abc import Sequence

import pytest

from fleetfit import Budget, InfeasibleError, InputError, Measurement
from search import Candidate, measured_value, verify_candidates
from supernet.spaces import ElasticSpace
from tests.search.toy import FP32, toy_measurement

BUDGET = (Budget.parse("latency_p50<=8ms"),)


@pytest.fixture
def ranked(tiny_space: ElasticSpace) -> list[Candidate]:
    return [Candidate(architecture=a, target=FP32) for a in list(tiny_space.uniform())[:8]]


class Device:
    """Measures seconds from a list, in order."""

    def __init__(self, seconds: Sequence[float]) -> None:
        self._seconds = list(seconds)
        self.measured: list[Candidate] = []

    def __call__(self, candidate: Candidate) -> Measurement:
        self.measured.append(candidate)
        return toy_measurement(candidate, self._seconds[len(self.measured) - 1])


def test_the_first_that_passes_wins(ranked: list[Candidate]) -> None:
    device = Device([0.007])
    found = verify_candidates(ranked, device, BUDGET)
    assert found.winner.candidate == ranked[0]
    assert not found.misses


def test_after_a_miss_the_next_is_measured_and_all_is_handed_back(
    ranked: list[Candidate],
) -> None:
    learned: list[Candidate] = []
    device = Device([0.009, 0.0081, 0.0079])
    found = verify_candidates(
        ranked, device, BUDGET, learned=lambda candidate, _: learned.append(candidate)
    )
    assert found.winner.candidate == ranked[2]
    assert [m.candidate for m in found.misses] == ranked[:2]
    assert learned == ranked[:3]


def test_at_most_five_are_measured_and_the_nearest_is_named(ranked: list[Candidate]) -> None:
    device = Device([0.016, 0.0088, 0.012, 0.012, 0.012, 0.001])
    with pytest.raises(InfeasibleError, match=r"none of 5 .* 10\.0% beyond latency_p50<=8ms") as e:
        verify_candidates(ranked, device, BUDGET)
    assert len(device.measured) == 5
    assert str(ranked[1]) in str(e.value)
    assert e.value.exit_code == 3


def test_a_new_ranking_is_followed_and_none_is_measured_twice(ranked: list[Candidate]) -> None:
    device = Device([0.009, 0.009, 0.007])
    found = verify_candidates(
        ranked, device, BUDGET, learned=lambda *_: [ranked[0], ranked[6], ranked[5]]
    )
    assert device.measured == [ranked[0], ranked[6], ranked[5]]
    assert found.winner.candidate == ranked[5]


def test_fewer_candidates_than_tries_end_with_the_nearest(ranked: list[Candidate]) -> None:
    with pytest.raises(InfeasibleError, match="none of 2"):
        verify_candidates(ranked[:2], Device([0.1, 0.1]), BUDGET)


def test_the_upper_end_of_the_interval_decides(ranked: list[Candidate]) -> None:
    low, high = (0.0079,) * 30, (0.0085,) * 30

    def measure(candidate: Candidate) -> Measurement:
        import dataclasses

        base = toy_measurement(candidate, 0.001)
        return dataclasses.replace(base, samples_s=(low, low, high))

    assert measure(ranked[0]).latency_p50_s < 0.008
    with pytest.raises(InfeasibleError):
        verify_candidates(ranked[:1], measure, BUDGET)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("latency_p50<=1s", 0.5),
        ("latency_p90<=1s", 0.5),
        ("throughput>=1/s", 2.0),
        ("memory<=1MiB", 2.0**20),
        ("size<=1MiB", 1000.0),
    ],
)
def test_each_metric_has_its_measured_value(
    ranked: list[Candidate], text: str, value: float
) -> None:
    measurement = toy_measurement(ranked[0], 0.5)
    assert measured_value(ranked[0], measurement, Budget.parse(text)) == pytest.approx(value)


def test_a_memory_that_was_not_measured_is_refused(ranked: list[Candidate]) -> None:
    measurement = toy_measurement(ranked[0], 0.5, memory_bytes=None)
    with pytest.raises(InputError, match="memory"):
        measured_value(ranked[0], measurement, Budget.parse("memory<=1MiB"))


def test_quality_is_left_to_evaluation(ranked: list[Candidate]) -> None:
    drop = Budget.parse("quality_drop<=1%")
    assert verify_candidates(ranked, Device([0.5]), [drop]).winner.worst is None


def test_nothing_to_verify_is_refused() -> None:
    with pytest.raises(InputError, match="must have candidates"):
        verify_candidates([], Device([]), BUDGET)
