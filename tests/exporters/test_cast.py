"""Networks in fp16 and bf16, against the same network in fp32."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper
from onnx.reference import ReferenceEvaluator

from exporters import LIMITS, differences, emit, make_inputs, random_weights
from exporters._onnxruntime import open_model
from exporters.calibrate import PLAIN_OPTIONS
from exporters.cast import HalfPrecision, bf16_bits, cast_model
from exporters.emit import PRECISION
from exporters.runtime import Inputs, Outputs
from exporters.serialize import model_bytes
from fleetfit import Architecture, Head, InputError, Workload

WORKLOAD = Workload(batch=2, seq_len=12, padding=0.4)
HEADS = {
    "none": Head(),
    "first": Head(kind="classification", pooling="first", outputs=5),
    "mean": Head(kind="classification", pooling="mean", outputs=5),
    "embedding": Head(kind="embedding", pooling="mean"),
    "span": Head(kind="span", outputs=2),
    "masked_lm": Head(kind="masked_lm"),
}
PRECISIONS: tuple[HalfPrecision, ...] = ("fp16", "bf16")


@pytest.fixture(params=HEADS)
def arch(request: pytest.FixtureRequest, mixed: Architecture) -> Architecture:
    if request.param == "masked_lm":
        last = dataclasses.replace(mixed.layers[1], width=24)
        first = dataclasses.replace(mixed.layers[0], width=24, projected=False)
        return dataclasses.replace(mixed, layers=(first, last), head=HEADS["masked_lm"])
    return mixed.with_head(HEADS[request.param])


def inputs_of(arch: Architecture) -> Inputs:
    (inputs,) = make_inputs(arch.embedding, WORKLOAD, seed=3, count=1)
    return inputs


def evaluated(model: onnx.ModelProto, inputs: Inputs) -> Outputs:
    """By onnx's own evaluator, in the types that the graph names."""
    evaluator = ReferenceEvaluator(model)
    values = evaluator.run(None, dict(inputs))
    return dict(zip(evaluator.output_names, values, strict=True))


def error(arch: Architecture, precision: HalfPrecision, **given: Any) -> tuple[float, float]:
    """The largest difference from fp32 and its limit."""
    model = emit(arch, random_weights(arch), **given)
    inputs = inputs_of(arch)
    found = evaluated(cast_model(model, precision), inputs)
    assert all(values.dtype == np.float32 for values in found.values())
    diffs, scale = differences(evaluated(model, inputs), found, inputs)
    return float(diffs.max()), LIMITS[precision](scale)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_it_agrees_with_fp32_and_is_not_fp32(arch: Architecture, precision: HalfPrecision) -> None:
    largest, limit = error(arch, precision)
    assert 1e-6 < largest <= limit


@pytest.mark.parametrize("precision", PRECISIONS)
def test_fixed_shapes_stay_fixed(mixed: Architecture, precision: HalfPrecision) -> None:
    largest, limit = error(mixed, precision, workload=WORKLOAD)
    assert largest <= limit


@pytest.mark.parametrize("precision", PRECISIONS)
def test_types_are_those_of_the_precision(arch: Architecture, precision: HalfPrecision) -> None:
    model = cast_model(emit(arch, random_weights(arch)), precision)
    onnx.checker.check_model(model, full_check=True)
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
    kind = {"fp16": TensorProto.FLOAT16, "bf16": TensorProto.BFLOAT16}[precision]
    types = {v.name: v.type.tensor_type.elem_type for v in inferred.graph.value_info}
    floats = {name: t for name, t in types.items() if t not in (TensorProto.INT64,)}
    assert all(t in (kind, TensorProto.FLOAT) for t in floats.values())
    assert {n for n, t in floats.items() if t == TensorProto.FLOAT} <= {
        n for n in floats if n.startswith("head.") or n.endswith(".fp32")
    }
    assert {i.type.tensor_type.elem_type for i in model.graph.input} == {TensorProto.INT64}
    assert [o.type.tensor_type.elem_type for o in model.graph.output] == [TensorProto.FLOAT]
    assert {p.key: p.value for p in model.metadata_props}[PRECISION] == precision


def test_onnxruntime_runs_fp16(arch: Architecture) -> None:
    model = emit(arch, random_weights(arch))
    inputs = inputs_of(arch)
    session = open_model(model_bytes(cast_model(model, "fp16")), PLAIN_OPTIONS)
    assert session.metadata[PRECISION] == "fp16"
    diffs, scale = differences(evaluated(model, inputs), session.run(inputs), inputs)
    assert diffs.max() <= LIMITS["fp16"](scale)


def test_rows_of_nothing_but_padding_give_numbers(mixed: Architecture) -> None:
    model = emit(mixed, random_weights(mixed))
    inputs = {name: values.copy() for name, values in inputs_of(mixed).items()}
    inputs["attention_mask"][0] = 0
    for precision in PRECISIONS:
        for values in evaluated(cast_model(model, precision), inputs).values():
            assert np.isfinite(values).all()


def test_a_weight_that_fp16_cannot_hold_is_refused(mixed: Architecture) -> None:
    weights = dict(random_weights(mixed))
    weights["head.output.bias"] = weights["head.output.bias"] + np.float32(1e5)
    model = emit(mixed, weights)
    with pytest.raises(InputError, match=r"head\.output\.bias has 1e\+05; choose bf16"):
        cast_model(model, "fp16")
    assert cast_model(model, "bf16").graph.initializer


def test_the_model_itself_is_left_as_it_was(mixed: Architecture) -> None:
    model = emit(mixed, random_weights(mixed))
    before = model_bytes(model)
    cast_model(model, "fp16")
    assert model_bytes(model) == before


def test_weights_take_half_the_space(mixed: Architecture) -> None:
    model = emit(mixed, random_weights(mixed))
    wide = sum(len(t.raw_data) for t in model.graph.initializer)
    for precision in PRECISIONS:
        made = cast_model(model, precision)
        assert sum(len(t.raw_data) for t in made.graph.initializer) < 0.55 * wide


def test_bits_of_bf16_are_rounded_as_others_do(mixed: Architecture) -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes")
    rng = np.random.default_rng(0)
    halfway = (np.arange(64, dtype=np.uint32) << 16 | 0x8000 | 0x3F800000).view(np.float32)
    values = np.concatenate([rng.normal(size=4096).astype(np.float32), halfway, -halfway])
    wanted = values.astype(ml_dtypes.bfloat16).view(np.uint16)
    np.testing.assert_array_equal(bf16_bits(values), wanted)
    model = cast_model(emit(mixed, random_weights(mixed)), "bf16")
    tensor = next(t for t in model.graph.initializer if t.name == "embedding.tokens")
    given = random_weights(mixed)["embedding.tokens"]
    np.testing.assert_allclose(
        numpy_helper.to_array(tensor).astype(np.float32), given, rtol=2**-8, atol=1e-30
    )
