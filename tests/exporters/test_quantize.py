"""int8 models agree with fp32 as far as rounding goes, and hold what they say they do."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Literal

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import numpy_helper

from exporters import differences, emit, make_inputs, model_bytes, random_weights
from exporters._cpu import weight_bits
from exporters._onnxruntime import open_model
from exporters.calibrate import PLAIN_OPTIONS, activation_ranges
from exporters.emit import PRECISION
from exporters.quantize import (
    BITS,
    ActivationRange,
    linear_inputs,
    quantize_dynamic,
    quantize_static,
)
from exporters.runtime import Inputs, Outputs
from fleetfit import Architecture, Head, InputError, Workload


def run(model: onnx.ModelProto, inputs: Inputs) -> Outputs:
    onnx.checker.check_model(model)
    return open_model(model_bytes(model), PLAIN_OPTIONS).run(inputs)


@pytest.fixture
def inputs(mixed: Architecture) -> list[Inputs]:
    return list(
        make_inputs(mixed.embedding, Workload(batch=2, seq_len=12, padding=0.2), seed=0, count=4)
    )


@pytest.mark.parametrize("bits", [7, 8])
@pytest.mark.parametrize("kind", ["dynamic", "static", "symmetric"])
def test_int8_agrees_with_fp32(
    model: onnx.ModelProto, inputs: list[Inputs], kind: str, bits: Literal[7, 8]
) -> None:
    before = model_bytes(model)
    if kind == "dynamic":
        quantized = quantize_dynamic(model, bits=bits)
    else:
        ranges = activation_ranges(model, inputs)
        quantized = quantize_static(model, ranges, bits=bits, symmetric=kind == "symmetric")
    assert model_bytes(model) == before
    diffs, scale = differences(run(model, inputs[0]), run(quantized, inputs[0]), inputs[0])
    assert 0 < diffs.max() < 0.1 * scale
    metadata = {p.key: p.value for p in quantized.metadata_props}
    assert metadata[PRECISION] == ("int8_dynamic" if kind == "dynamic" else "int8")
    assert metadata[BITS] == str(bits)
    weights = [t for t in quantized.graph.initializer if t.name.endswith(".int8")]
    most = max(
        int(np.abs(numpy_helper.to_array(t)).max()) for t in weights if "tokens" not in t.name
    )
    assert most == 2 ** (bits - 1) - 1


@pytest.mark.parametrize("kind", ["dynamic", "static"])
def test_no_float_matrix_is_left(model: onnx.ModelProto, inputs: list[Inputs], kind: str) -> None:
    ranges = activation_ranges(model, inputs)
    made = (
        quantize_dynamic(model, bits=8)
        if kind == "dynamic"
        else quantize_static(model, ranges, bits=8)
    )
    large = [
        t.name
        for t in made.graph.initializer
        if t.data_type == onnx.TensorProto.FLOAT and len(t.dims) == 2 and min(t.dims) > 1
    ]
    assert set(large) <= {"embedding.positions", "embedding.segments"}


def test_a_table_that_the_head_reads_stays_whole(mixed: Architecture) -> None:
    arch = mixed.with_head(Head(kind="masked_lm"))
    made = quantize_dynamic(emit(arch, random_weights(arch)), bits=8)
    assert "embedding.tokens" in {t.name for t in made.graph.initializer}
    (given_,) = make_inputs(arch.embedding, Workload(batch=1, seq_len=9), seed=0, count=1)
    wanted = run(emit(arch, random_weights(arch)), given_)
    diffs, scale = differences(wanted, run(made, given_), given_)
    assert diffs.max() < 0.1 * scale


def test_ranges_are_the_means_of_the_extremes(model: onnx.ModelProto, inputs: list[Inputs]) -> None:
    names = linear_inputs(model)
    assert len(names) == len(set(names))
    alone = [activation_ranges(model, [one]) for one in inputs]
    together = activation_ranges(model, inputs)
    assert list(together) == names
    for name, found in together.items():
        assert found.low == pytest.approx(np.mean([a[name].low for a in alone]))
        assert found.high == pytest.approx(np.mean([a[name].high for a in alone]))


@given(
    low=st.floats(-1e4, 1e4, width=32), width=st.floats(0, 1e4, width=32),
)  # fmt: skip
def test_scales_cover_the_range_and_zero_is_exact(low: float, width: float) -> None:
    seen = ActivationRange(low=low, high=low + width)
    scale, zero = seen.affine()
    assert scale > 0
    steps = np.array([0 - int(zero), 255 - int(zero)]) * float(scale)
    slack = 1.01 * float(scale)
    assert steps[0] <= min(low, 0) + slack
    assert steps[1] >= max(low + width, 0) - slack
    scale, none = seen.symmetric()
    assert none == 0
    assert 127.01 * float(scale) >= max(abs(low), abs(low + width))


@pytest.mark.parametrize(
    ("flags", "machine", "bits"),
    [
        ("flags : avx2 avx512_vnni", "x86_64", 8),
        ("flags : avx2 avx_vnni", "x86_64", 8),
        ("flags : avx2", "x86_64", 7),
        ("Features : asimddp", "aarch64", 8),
        (None, "x86_64", 7),
    ],
)
def test_seven_bits_where_two_products_would_overflow(
    tmp_path: Path, flags: str | None, machine: str, bits: int
) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    if flags is not None:
        cpuinfo.write_text(flags)
    assert weight_bits(cpuinfo, machine=machine) == bits


@pytest.mark.parametrize("ends", [(math.nan, 1.0), (0.0, math.inf), (-math.inf, math.nan)])
def test_activations_that_are_not_finite_are_refused(ends: tuple[float, float]) -> None:
    with pytest.raises(InputError, match=r"must be finite .* lies from .*; train"):
        ActivationRange(low=ends[0], high=ends[1])


def test_the_interface_stays(model: onnx.ModelProto) -> None:
    made = quantize_dynamic(model, bits=8)
    assert made.graph.input == model.graph.input
    assert made.graph.output == model.graph.output


@pytest.mark.parametrize("kind", ["dynamic", "static"])
def test_onnxruntime_runs_integer_products(
    model: onnx.ModelProto, inputs: list[Inputs], tmp_path: Path, kind: str
) -> None:
    """What its optimised graph holds: no product with float weights is left."""
    import onnxruntime

    ranges = activation_ranges(model, inputs)
    made = (
        quantize_dynamic(model, bits=8)
        if kind == "dynamic"
        else quantize_static(model, ranges, bits=8)
    )
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    options.log_severity_level = 4
    onnxruntime.InferenceSession(model_bytes(made), options, providers=["CPUExecutionProvider"])
    graph = onnx.load(tmp_path / "optimised.onnx").graph
    weights = {t.name for t in graph.initializer}
    ops = [n.op_type for n in graph.node if any(i in weights for i in n.input)]
    fused = {"DynamicQuantizeMatMul", "MatMulIntegerToFloat"}
    # The head's map of one row a text becomes a float Gemm where its weights are rounded.
    heads = ops.count("Gemm")
    assert sum(op in fused for op in ops) == len(linear_maps(model)) - heads
    assert heads == (kind == "static")
    assert "MatMul" not in ops


def linear_maps(model: onnx.ModelProto) -> list[str]:
    return [n.name for n in model.graph.node if n.op_type == "MatMul" and "weight" in n.input[1]]
