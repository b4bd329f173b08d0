from __future__ import annotations

import pytest

from fleetfit import InputError, LayerTable, Metric, Workload
from search import Calibrated, Candidate, CostModel, calibrate
from supernet.spaces import ElasticSpace
from tests.search.toy import BF16, FP32, WORKLOAD, ToyCost, toy_measurement


def test_only_the_given_targets_are_multiplied(tiny_space: ElasticSpace) -> None:
    table = LayerTable.of([tiny_space.largest()])
    model = Calibrated(model=ToyCost(spread=0.1), factors={BF16: 1.5})
    for target, factor in ((FP32, 1.0), (BF16, 1.5)):
        plain = ToyCost(spread=0.1).predict_table(table, target, WORKLOAD)
        found = model.predict_table(table, target, WORKLOAD)
        assert found.upper == pytest.approx(plain.upper * factor)
        assert found.mean == pytest.approx(plain.mean * factor)


def test_a_factor_of_zero_is_refused() -> None:
    with pytest.raises(InputError, match="above 0"):
        Calibrated(model=ToyCost(), factors={FP32: 0.0})


def test_the_median_ratio_of_verified_networks_is_the_factor(tiny_space: ElasticSpace) -> None:
    table = LayerTable.of(list(tiny_space.uniform())[:3])
    plain = ToyCost().predict_table(table, FP32, WORKLOAD).mean
    rows = [
        toy_measurement(Candidate(architecture=arch, target=FP32), seconds * ratio)
        for arch, seconds, ratio in zip(tiny_space.uniform(), plain, (0.8, 0.9, 1.3), strict=False)
    ]
    costs = calibrate({"latency_p50": ToyCost()}, rows, WORKLOAD)
    found = costs["latency_p50"].predict_table(table, FP32, WORKLOAD)
    assert found.mean == pytest.approx(plain * 0.9)
    other = costs["latency_p50"].predict_table(table, BF16, WORKLOAD)
    assert other.mean == pytest.approx(ToyCost().predict_table(table, BF16, WORKLOAD).mean)


def test_measurements_of_another_workload_count_nothing(tiny_space: ElasticSpace) -> None:
    row = toy_measurement(Candidate(architecture=tiny_space.largest(), target=FP32), 1.0)
    costs: dict[Metric, CostModel] = {"latency_p50": ToyCost()}
    assert calibrate(costs, [row], Workload(seq_len=8)) == costs
