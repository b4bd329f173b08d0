from __future__ import annotations

import numpy as np

from fleetfit import LayerTable, weight_shapes
from predictors import FileSize, ParameterCount
from predictors.fake import FAST, WORKLOAD, networks, plain


def test_parameters_equal_the_weights_of_the_extracted_network() -> None:
    architectures = networks(5, seed=0)
    expected = [sum(int(np.prod(s)) for s in weight_shapes(a).values()) for a in architectures]
    got = ParameterCount().predict_table(LayerTable.of(architectures), FAST, WORKLOAD)
    np.testing.assert_array_equal(got.mean, expected)
    np.testing.assert_array_equal(got.lower, got.upper)


def test_file_size_holds_at_least_the_weights() -> None:
    table = LayerTable.of([plain(2, 64, 2, 128)])
    weights = 4 * ParameterCount().predict_table(table, FAST, WORKLOAD).mean
    assert FileSize().predict_table(table, FAST, WORKLOAD).mean[0] > weights[0]
