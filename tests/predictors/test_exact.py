from __future__ import annotations

import numpy as np
import pytest

from fleetfit import LayerTable, Query, weight_shapes
from predictors import FileSize, ParameterCount
from predictors.fake import FAST, WORKLOAD, networks, plain


def test_parameters_equal_the_weights_of_the_extracted_network() -> None:
    architectures = networks(5, seed=0)
    expected = [sum(int(np.prod(s)) for s in weight_shapes(a).values()) for a in architectures]
    got = ParameterCount().predict_table(LayerTable.of(architectures), FAST, WORKLOAD)
    np.testing.assert_array_equal(got.mean, expected)
    np.testing.assert_array_equal(got.lower, got.upper)


def test_file_size_before_fitting_holds_at_least_the_weights() -> None:
    table = LayerTable.of([plain(2, 64, 2, 128)])
    weights = 4 * ParameterCount().predict_table(table, FAST, WORKLOAD).mean
    assert FileSize().predict_table(table, FAST, WORKLOAD).mean[0] > weights[0]


def test_file_size_learns_the_share_of_the_graph() -> None:
    architectures = networks(12, seed=1)
    table = LayerTable.of(architectures)
    sublayers = (table.kind > 0).sum(axis=(1, 2))
    written = 4 * ParameterCount().predict_table(table, FAST, WORKLOAD).mean + 900 + 700 * sublayers
    queries = [Query(architecture=a, target=FAST, workload=WORKLOAD) for a in architectures]
    got = FileSize().fit(queries, written).predict_table(table, FAST, WORKLOAD)
    np.testing.assert_allclose(got.mean, written, atol=1.0)
    assert (got.upper - got.mean).max() == pytest.approx(0, abs=1.0)
