from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from devices import describe
from exporters import all_targets, emit, make_inputs, random_weights, runtime_of
from fleetfit import Head, LayerTable, Target, Workload, weight_shapes
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


@pytest.mark.parametrize(
    "target",
    [t for t in all_targets(describe(), threads=1) if t.provider == "cpu"],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize("kind", ["none", "masked_lm"])
def test_file_size_is_that_of_the_file(target: Target, kind: str, tmp_path: Path) -> None:
    head = Head(kind="masked_lm") if kind == "masked_lm" else Head()
    for i, arch in enumerate((plain(2, 64, 2, 128), plain(4, 192, 3, 768))):
        headed, workload = arch.with_head(head), Workload(seq_len=16)
        model = emit(headed, random_weights(headed))
        given = list(make_inputs(headed.embedding, workload, seed=0, count=2))
        place = tmp_path / str(i)
        made = runtime_of(target).build(model, target, workload, place, calibration=given)
        found = FileSize().predict_table(LayerTable.of([headed]), target, workload)
        assert found.lower[0] <= made.file_bytes <= found.upper[0]
