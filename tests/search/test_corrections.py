from __future__ import annotations

import pytest

from fleetfit import Budget, InfeasibleError, Measurement, Target
from search import Candidate, Corrections, Estimate, Ranked, verify_ranked
from supernet.spaces import ElasticSpace
from tests.search.toy import BF16, FP32, toy_measurement

BUDGET = (Budget.parse("latency_p50<=8ms"),)


def predicted(space: ElasticSpace, seconds: list[tuple[Target, float]]) -> list[Ranked]:
    """Different networks with these predictions, best first."""
    networks = list(space.uniform())
    return [
        Ranked(
            architecture=networks[i],
            target=target,
            loss=float(i),
            costs={"latency_p50": Estimate(mean=s, lower=s, upper=s)},
        )
        for i, (target, s) in enumerate(seconds)
    ]


class Slow:
    """Measures predictions times a factor of the target."""

    def __init__(self, ranked: list[Ranked], factors: dict[Target, float]) -> None:
        self.asked: list[Candidate] = []
        self._true = {r.candidate: r.costs["latency_p50"].mean * factors[r.target] for r in ranked}

    def __call__(self, candidate: Candidate) -> Measurement:
        self.asked.append(candidate)
        return toy_measurement(candidate, self._true[candidate])


def test_what_would_miss_as_well_is_passed_over(tiny_space: ElasticSpace) -> None:
    ranked = predicted(tiny_space, [(FP32, 0.0079), (FP32, 0.0078), (FP32, 0.0070)])
    device = Slow(ranked, {FP32: 1.1})  # sqrt(1.1) = 1.049: the second is taken to miss as well
    passed = verify_ranked(ranked, device, BUDGET)
    assert passed.winner.candidate == ranked[2].candidate
    assert device.asked == [ranked[0].candidate, ranked[2].candidate]


def test_every_target_keeps_its_own_correction(tiny_space: ElasticSpace) -> None:
    ranked = predicted(
        tiny_space, [(FP32, 0.0079), (BF16, 0.0078), (FP32, 0.0078), (BF16, 0.0077), (BF16, 0.006)]
    )
    device = Slow(ranked, {FP32: 1.1, BF16: 1.2})
    passed = verify_ranked(ranked, device, BUDGET)
    assert passed.winner.candidate == ranked[4].candidate
    assert device.asked == [ranked[i].candidate for i in (0, 1, 4)]


def test_where_nothing_fits_the_nearest_is_tried_next(tiny_space: ElasticSpace) -> None:
    ranked = predicted(tiny_space, [(FP32, 0.0079), (FP32, 0.0078), (FP32, 0.0070)])
    device = Slow(ranked, {FP32: 2.0})
    with pytest.raises(InfeasibleError, match="none of 3 did"):
        verify_ranked(ranked, device, BUDGET)
    assert device.asked == [ranked[i].candidate for i in (0, 2, 1)]


def test_the_mean_of_log_ratios_is_shrunk(tiny_space: ElasticSpace) -> None:
    ranked = predicted(tiny_space, [(FP32, 0.01), (FP32, 0.01)])
    corrections = Corrections()
    for one, ratio, expected in zip(ranked, (1.21, 1.1), (1.1, 1.331 ** (1 / 3)), strict=True):
        corrections.learn(one, toy_measurement(one.candidate, 0.01 * ratio))
        assert corrections.factor(FP32, "latency_p50") == pytest.approx(expected)
    assert corrections.factor(BF16, "latency_p50") == 1


def test_faster_than_predicted_corrects_nothing(tiny_space: ElasticSpace) -> None:
    (one, two) = predicted(tiny_space, [(FP32, 0.0079), (FP32, 0.0090)])
    corrections = Corrections()
    corrections.learn(one, toy_measurement(one.candidate, 0.004))
    assert corrections.excess(two, BUDGET) == pytest.approx(0.125)
