from __future__ import annotations

import pytest

from fleetfit import InputError, LayerTable
from search import Calibrated
from supernet.spaces import ElasticSpace
from tests.search.toy import BF16, FP32, WORKLOAD, ToyCost


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
