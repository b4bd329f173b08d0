from __future__ import annotations

from fleetfit import LayerTable, Query
from predictors import ConstantPredictor
from predictors.fake import FAST, WORKLOAD, networks


def test_the_median_is_learned() -> None:
    queries = [Query(architecture=a, target=FAST, workload=WORKLOAD) for a in networks(3, seed=0)]
    got = ConstantPredictor().fit(queries, [1.0, 9.0, 2.0])
    assert got.predict(queries).mean.tolist() == [2.0, 2.0, 2.0]


def test_the_given_value_holds_before_fitting() -> None:
    table = LayerTable.of(networks(2, seed=0))
    assert ConstantPredictor(0.5).predict_table(table, FAST, WORKLOAD).mean.tolist() == [0.5, 0.5]
