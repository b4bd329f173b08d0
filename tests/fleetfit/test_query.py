"""Workload, target, query: what counts for identity, and the round trip."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given

from fleetfit import Architecture, InputError, Query, Target, Workload
from tests.fleetfit.strategies import assert_round_trip, queries, targets, workloads


@given(workloads)
def test_workload_round_trip(workload: Workload) -> None:
    assert_round_trip(workload)


@given(targets, targets)
def test_target_round_trip_and_identity(a: Target, b: Target) -> None:
    assert_round_trip(a)
    assert (a.id == b.id) == (a == b)


@given(queries)
def test_query_round_trip(query: Query) -> None:
    assert_round_trip(query)


def test_the_default_workload_is_one_sequence_of_128_tokens() -> None:
    assert Workload() == Workload(batch=1, seq_len=128, padding=0.0)
    assert str(Workload()) == "batch 1, 128 tokens"
    assert str(Workload(batch=4, padding=0.25)) == "batch 4, 128 tokens, 25% padded"


@pytest.mark.parametrize(
    "fields", [{"batch": 0}, {"seq_len": 0}, {"padding": 1.0}, {"padding": -0.1}]
)
def test_a_workload_that_makes_no_sense_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="batch >= 1, seq_len >= 1"):
        Workload(**fields)


@pytest.mark.parametrize(
    "fields",
    [
        {"runtime": "tflite"},
        {"provider": "npu"},
        {"precision": "int3"},
        {"shapes": "ragged"},
        {"threads": 0},
    ],
)
def test_a_target_that_does_not_exist_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=next(iter(fields))):
        Target(**{"runtime": "onnxruntime", **fields})


def test_a_target_prints_its_options() -> None:
    target = Target(runtime="openvino", precision="bf16", threads=2)
    assert str(target) == "openvino-bf16-2t"
    fixed = Target(runtime="onnxruntime", spinning=True, shapes="fixed")
    assert str(fixed) == "onnxruntime-fp32-1t-fixed-spin"


def test_a_query_is_known_by_what_it_costs(tiny_source: Architecture) -> None:
    query = Query(
        architecture=tiny_source, target=Target(runtime="onnxruntime"), workload=Workload()
    )
    moved = tuple(dataclasses.replace(y, source=5) for y in tiny_source.layers)
    same_cost = dataclasses.replace(tiny_source, layers=moved)
    assert dataclasses.replace(query, architecture=same_cost).id == query.id
    threads = dataclasses.replace(query.target, threads=2)
    assert dataclasses.replace(query, target=threads).id != query.id
    assert dataclasses.replace(query, workload=Workload(seq_len=64)).id != query.id
