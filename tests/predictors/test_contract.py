"""What every predictor promises (the docstring of Predictor), over all implementations."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest

from fleetfit import Architecture, InputError, LayerTable, Query
from predictors import ConstantPredictor, CostPredictor, FileSize, ParameterCount
from predictors.base import Predictor
from predictors.fake import FAST, SLOW, WORKLOAD, networks, true_latency_s

MAKERS: dict[str, Callable[[], Predictor]] = {
    "constant": ConstantPredictor,
    "parameters": ParameterCount,
    "file size": FileSize,
    "cost": lambda: CostPredictor(metric="latency_p50", folds=3),
}


def _data(count: int = 12) -> tuple[list[Query], np.ndarray]:
    architectures = networks(count, seed=3)
    table = LayerTable.of(architectures)
    queries = [
        Query(architecture=a, target=t, workload=WORKLOAD)
        for t in (FAST, SLOW)
        for a in architectures
    ]
    return queries, np.concatenate([true_latency_s(table, FAST), true_latency_s(table, SLOW)])


@pytest.fixture(params=MAKERS, scope="module")
def make(request: pytest.FixtureRequest) -> Callable[[], Predictor]:
    return MAKERS[request.param]


@pytest.fixture(scope="module")
def fitted(make: Callable[[], Predictor]) -> Predictor:
    return make().fit(*_data())


def test_fit_returns_the_predictor_itself(make: Callable[[], Predictor]) -> None:
    predictor = make()
    assert predictor.fit(*_data()) is predictor


def test_equal_data_give_equal_predictions(
    make: Callable[[], Predictor], fitted: Predictor
) -> None:
    queries, y = _data()
    again = make().fit(queries, y).predict(queries)
    before = fitted.predict(queries)
    for name in ("mean", "lower", "upper"):
        np.testing.assert_array_equal(getattr(again, name), getattr(before, name))


def test_predict_keeps_the_order_of_mixed_queries(fitted: Predictor) -> None:
    queries, _ = _data()
    order = np.random.default_rng(0).permutation(len(queries))
    mixed = fitted.predict([queries[i] for i in order])
    np.testing.assert_allclose(mixed.mean, fitted.predict(queries).mean[order], rtol=1e-12)


def test_predict_equals_predict_table_row_by_row(fitted: Predictor) -> None:
    architectures = networks(20, seed=4)
    queries = [Query(architecture=a, target=FAST, workload=WORKLOAD) for a in architectures]
    table = fitted.predict_table(LayerTable.of(architectures), FAST, WORKLOAD)
    for i, query in enumerate(queries):
        one = fitted.predict([query])
        np.testing.assert_allclose(
            [one.mean[0], one.lower[0], one.upper[0]],
            [table.mean[i], table.lower[i], table.upper[i]],
            rtol=1e-6,
        )


def test_predictions_are_finite_and_inside_their_interval(fitted: Predictor) -> None:
    answer = fitted.predict(_data()[0])
    assert np.isfinite([answer.mean, answer.lower, answer.upper]).all()
    assert (answer.lower <= answer.mean).all()
    assert (answer.mean <= answer.upper).all()


def test_a_query_changes_nothing(fitted: Predictor) -> None:
    queries, _ = _data()
    first = fitted.predict(queries)
    fitted.predict(queries[:3])
    np.testing.assert_array_equal(fitted.predict(queries).upper, first.upper)


def test_the_source_of_a_layer_costs_nothing(fitted: Predictor) -> None:
    queries, _ = _data()
    layers = tuple(dataclasses.replace(y, source=0) for y in queries[0].architecture.layers)
    moved: Architecture = dataclasses.replace(queries[0].architecture, layers=layers)
    twin = dataclasses.replace(queries[0], architecture=moved)
    answer = fitted.predict([queries[0], twin])
    assert answer.mean[0] == answer.mean[1]


def test_no_queries_give_no_predictions(fitted: Predictor) -> None:
    assert len(fitted.predict([])) == 0


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda y: y[:-1], "equally many"),
        (lambda y: -y, "positive"),
        (lambda y: y * np.nan, "positive"),
    ],
)
def test_values_that_do_not_fit_are_refused(
    make: Callable[[], Predictor], spoil: Callable[[np.ndarray], np.ndarray], says: str
) -> None:
    queries, y = _data()
    with pytest.raises(InputError, match=says):
        make().fit(queries, spoil(y))


def test_negative_noise_is_refused(make: Callable[[], Predictor]) -> None:
    queries, y = _data()
    with pytest.raises(InputError, match="Noise must be >= 0"):
        make().fit(queries, y, noise=-np.ones(len(y)))
