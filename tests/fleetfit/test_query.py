"""Workload, target, query: what counts for identity, and the round trip."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given

from fleetfit import (
    Architecture,
    InputError,
    Job,
    Query,
    Target,
    Workload,
    digest,
    dumps,
    loads,
)
from profiler.reference import reference_query
from tests.fleetfit.strategies import (
    assert_round_trip,
    queries,
    targets,
    workloads,
    workloads_with_lengths,
)


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


def test_a_workload_prints_its_lengths() -> None:
    assert str(Workload(batch=8, lengths=(12,))) == "batch 8, 128 tokens, length 12"
    law = Workload(batch=8, lengths=(5, 9, 12, 30, 64))
    assert str(law) == "batch 8, 128 tokens, lengths 5 to 64, median 12"


def test_workloads_from_before_there_were_lengths_keep_their_texts_and_ids() -> None:
    """Reference: both as written by the commit before the field was added."""
    known = {
        '{"batch":1,"padding":0,"seq_len":128}': (Workload(), "6ff7a27409f1d69f"),
        '{"batch":8,"padding":0.25,"seq_len":64}': (
            Workload(batch=8, seq_len=64, padding=0.25),
            "cd08dccd48b84ae5",
        ),
    }
    for text, (workload, identity) in known.items():
        assert dumps(workload) == text
        assert loads(Workload, text) == workload
        assert digest(workload) == identity
    query = reference_query(Target(runtime="onnxruntime"))
    assert query.id == "8726e77975d2768d"
    job = Job(query=query, protocol="survey", protocol_version=2)
    assert job.id == "f693a2331c024938"


@given(workloads_with_lengths(), workloads_with_lengths())
def test_workloads_of_other_lengths_have_other_ids(a: Workload, b: Workload) -> None:
    assert (digest(a) == digest(b)) == (a == b)
    assert digest(a) != digest(dataclasses.replace(a, lengths=()))


@pytest.mark.parametrize("lengths", [(0,), (9,), (5, 3), (1, 9), (1, 2, 3, 4, 5, 9)], ids=str)
def test_lengths_that_do_not_fit_are_refused(lengths: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="must be sorted, from 1 to its 8 tokens, but got") as said:
        Workload(seq_len=8, lengths=lengths)
    assert str(lengths[-1]) in str(said.value)


def test_lengths_and_a_share_of_padding_are_refused() -> None:
    with pytest.raises(InputError, match="but got both"):
        Workload(padding=0.5, lengths=(5,))


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
