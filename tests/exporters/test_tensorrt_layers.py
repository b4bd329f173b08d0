"""The summary of the engine inspector."""

from __future__ import annotations

import json
from typing import Any

import pytest

from exporters._tensorrt_layers import layer_counts


def test_layers_are_counted_by_kind_and_type() -> None:
    layers: list[Any] = [
        {"LayerType": "gemm", "Outputs": [{"Format/Datatype": "Row major linear FP16 format"}]},
        {"LayerType": "gemm", "Outputs": [{"Format/Datatype": "Half"}]},
        {"LayerType": "gemm", "Outputs": [{"Datatype": "BFloat16"}]},
        {"LayerType": "kgen", "Outputs": [{"Format/Datatype": "Int8"}]},
        {"LayerType": "NoOp", "Outputs": []},
        "a name",
    ]
    wanted = {"gemm bf16": 1, "gemm fp16": 2, "kgen int8": 1, "noop": 1, "other": 1}
    assert layer_counts(json.dumps({"Layers": layers})) == wanted


@pytest.mark.parametrize(
    "text",
    [
        None,
        7,
        "",
        "[]",
        "{}",
        "null",
        '{"Layers": []}',
        '{"Layers": null}',
        '{"Layers": 3}',
        '{"Layers": {"a": 1}}',
        '{"Layers": "gemm"}',
        "[" * 100_000,
    ],
    ids=lambda text: str(text)[:20],
)
def test_what_tells_no_layers_is_none(text: object) -> None:
    assert layer_counts(text) == {}


@pytest.mark.parametrize(
    "layer",
    [
        None,
        3,
        [],
        {},
        {"LayerType": None},
        {"LayerType": "", "Outputs": None},
        {"Outputs": {}},
        {"Outputs": {"0": 1}},
        {"Outputs": "half"},
        {"Outputs": [None]},
        {"Outputs": [["half"]]},
        {"Outputs": [{"Format/Datatype": None}]},
    ],
    ids=str,
)
def test_an_odd_layer_is_another(layer: object) -> None:
    assert layer_counts(json.dumps({"Layers": [layer]})) == {"other": 1}
