"""From an architecture and its weights to an ONNX model, written node by node.

Post-LN BERT: ``x = LN(x + attention(x))``, ``x = LN(x + ffn(x))``. Opset 20 is the first with
``Gelu`` as one node (``LayerNormalization`` is one since 17); IR version 10 goes with it.
"""

from __future__ import annotations

import math
from typing import Final, assert_never

import numpy as np
import onnx
from onnx import TensorProto, helper

from exporters._graph import GraphBuilder
from fleetfit import (
    Architecture,
    FeedForward,
    InputError,
    SelfAttention,
    Weights,
    Workload,
    check_weights,
)

__all__ = ["INPUTS", "IR_VERSION", "OPSET", "PRECISION", "SIZES", "emit", "output_shape"]

OPSET = 20
IR_VERSION = 10
INPUTS = ("input_ids", "attention_mask", "token_type_ids")
"""Names of the inputs, each int64, batch x seq."""

# exp(-1e9) is exactly 0 in every precision, and unlike the lowest float32 it stays finite in bf16.
_MASKED = -1e9
PRECISION: Final = "precision"
"""Key of the model's metadata: its precision, where that is not fp32."""
SIZES = ("max_positions", "vocab_size", "segments")
"""Keys of the model's metadata: how long a sequence may be, and how many ids there are."""


def emit(
    arch: Architecture, weights: Weights, *, workload: Workload | None = None
) -> onnx.ModelProto:
    """The ONNX model of ``arch``: shapes fixed to ``workload``, else axes "batch" and "seq".

    Inputs as ``INPUTS``; the output is ``hidden`` (batch x seq x width), ``logits`` (masked_lm:
    batch x seq x vocab; span: batch x seq x outputs; classification: batch x outputs) or
    ``embedding`` (batch x width). Raises InputError where the weights do not fit or the workload
    is longer than the positions.
    """
    check_weights(arch, weights)
    longest = arch.embedding.max_positions
    if workload is not None and workload.seq_len > longest:
        raise InputError(
            f"A workload's length must be at most the {longest} positions of the network, "
            f"but got {workload.seq_len}."
        )
    g = GraphBuilder(f"fleetfit-{arch.id}")
    x = _embed(g, arch, weights, workload)
    bias = _attention_bias(g)
    last = _last_attention(arch)
    for i, layer in enumerate(arch.layers):
        if layer.projected:
            x = g.linear(x, f"layers.{i}.projection", weights)
        for j, sub in enumerate(layer.sublayers):
            name = f"layers.{i}.{j}"
            if isinstance(sub, SelfAttention):
                asking = _first_token(g, x) if last == (i, j) else x
                y = _attention(g, (asking, x), name, (sub, bias, weights))
                x = asking
            elif isinstance(sub, FeedForward):
                y = _feed_forward(g, x, name, (sub, arch.activation, weights))
            else:
                raise InputError(f"Sub-layers must be emittable, but got {type(sub).__name__}.")
            residual = g.add("Add", [x, y], f"{name}.residual")
            x = _norm(g, residual, f"{name}.norm", (arch, weights))
    _head(g, x, arch, weights)
    g.end(arch.head.output)
    return _model(g, arch, workload)


def _last_attention(arch: Architecture) -> tuple[int, int] | None:
    """Layer and sub-layer from which on only the first token counts; None where all count."""
    if arch.head.pooling != "first":
        return None
    found = [
        (i, j)
        for i, layer in enumerate(arch.layers)
        for j, sub in enumerate(layer.sublayers)
        if isinstance(sub, SelfAttention)
    ]
    return found[-1] if found else None


def _first_token(g: GraphBuilder, x: str) -> str:
    """Batch x 1 x width."""
    return g.add("Slice", [x, g.integers(0), g.integers(1), g.integers(1)], "first_token")


def _embed(g: GraphBuilder, arch: Architecture, weights: Weights, workload: Workload | None) -> str:
    table = {part: weights[f"embedding.{part}"] for part in ("tokens", "positions", "segments")}
    tokens = g.constant("embedding.tokens", table["tokens"])
    segments = g.constant("embedding.segments", table["segments"])
    x = g.add("Gather", [tokens, "input_ids"], "embedding.token_vectors")
    s = g.add("Gather", [segments, "token_type_ids"], "embedding.segment_vectors")
    if workload is None:
        positions = g.constant("embedding.positions", table["positions"])
        length = g.add("Shape", ["input_ids"], "embedding.length", start=1, end=2)
        zero = g.integers(0)
        rows = [positions, zero, length, zero]
        p = g.add("Slice", rows, "embedding.position_vectors")
    else:
        p = g.constant("embedding.positions", table["positions"][: workload.seq_len])
    x = g.add("Add", [x, s], "embedding.with_segments")
    x = g.add("Add", [x, p], "embedding.sum")
    return _norm(g, x, "embedding.norm", (arch, weights))


def _attention_bias(g: GraphBuilder) -> str:
    """0 where the mask is 1 and ``_MASKED`` where it is 0: batch x 1 x 1 x seq."""
    mask = g.add("Cast", ["attention_mask"], "mask.float", to=TensorProto.FLOAT)
    wide = g.add("Unsqueeze", [mask, g.integers(1, 2)], "mask.wide")
    padded = g.add("Sub", [g.number(1.0), wide], "mask.padded")
    return g.add("Mul", [padded, g.number(_MASKED)], "mask.bias")


def _attention(
    g: GraphBuilder,
    states: tuple[str, str],
    name: str,
    given: tuple[SelfAttention, str, Weights],
) -> str:
    """Scaled dot product attention of ``states``: those that ask, and all.

    Equal ones give q, k and v in one product. The scale is in q.
    """
    asking, x = states
    sub, bias, weights = given
    if sub.score != "sdp":
        raise InputError(f"SelfAttention.score must be 'sdp' in this version, got {sub.score!r}.")
    if asking == x:
        q, k, v = _heads(g, x, name, ("query", "key", "value"), (sub, weights))
    else:
        (q,) = _heads(g, asking, name, ("query",), (sub, weights))
        k, v = _heads(g, x, name, ("key", "value"), (sub, weights))
    k = g.add("Transpose", [k], f"{name}.key.turned", perm=[0, 1, 3, 2])
    scores = g.add("MatMul", [q, k], f"{name}.scores")
    masked = g.add("Add", [scores, bias], f"{name}.masked")
    shares = g.add("Softmax", [masked], f"{name}.shares", axis=-1)
    mixed = g.add("MatMul", [shares, v], f"{name}.mixed")
    mixed = g.add("Transpose", [mixed], f"{name}.by_position", perm=[0, 2, 1, 3])
    inner = sub.heads * sub.head_dim
    joint = g.add("Reshape", [mixed, g.integers(0, 0, inner)], f"{name}.joint")
    return g.linear(joint, f"{name}.output", weights)


def _heads(
    g: GraphBuilder,
    x: str,
    name: str,
    parts: tuple[str, ...],
    given: tuple[SelfAttention, Weights],
) -> list[str]:
    """The parts, each batch x heads x seq x head_dim, from one product and one transposition."""
    sub, weights = given
    scale = np.float32(1 / math.sqrt(sub.head_dim))
    factors = [scale if part == "query" else np.float32(1) for part in parts]
    matrices = [weights[f"{name}.{p}.weight"] * f for p, f in zip(parts, factors, strict=True)]
    biases = [weights[f"{name}.{p}.bias"] * f for p, f in zip(parts, factors, strict=True)]
    joined = f"{name}.{''.join(part[0] for part in parts)}"
    y = g.affine(x, joined, np.concatenate(matrices).T, np.concatenate(biases))
    shape = g.integers(0, 0, len(parts), sub.heads, sub.head_dim)
    y = g.add("Reshape", [y, shape], f"{joined}.split")
    y = g.add("Transpose", [y], f"{joined}.heads", perm=[2, 0, 3, 1, 4])
    return [
        g.add("Gather", [y, g.integer(at)], f"{name}.{part}.heads", axis=0)
        for at, part in enumerate(parts)
    ]


def _feed_forward(
    g: GraphBuilder, x: str, name: str, given: tuple[FeedForward, str, Weights]
) -> str:
    sub, activation, weights = given
    for k in range(len(sub.widths)):
        x = g.linear(x, f"{name}.linear.{k}", weights)
        x = _activate(g, x, f"{name}.active.{k}", activation)
    return g.linear(x, f"{name}.linear.{len(sub.widths)}", weights)


def _activate(g: GraphBuilder, x: str, name: str, activation: str) -> str:
    if activation == "relu":
        return g.add("Relu", [x], name)
    approximate = "tanh" if activation == "gelu_tanh" else "none"
    return g.add("Gelu", [x], name, approximate=approximate)


def _norm(g: GraphBuilder, x: str, name: str, given: tuple[Architecture, Weights]) -> str:
    arch, weights = given
    scale = g.constant(f"{name}.weight", weights[f"{name}.weight"])
    shift = g.constant(f"{name}.bias", weights[f"{name}.bias"])
    return g.add(
        "LayerNormalization", [x, scale, shift], f"{name}.out", axis=-1, epsilon=arch.norm_eps
    )


def _head(g: GraphBuilder, x: str, arch: Architecture, weights: Weights) -> None:
    """Append the head; the output of its last node (or of the body's) is the graph's."""
    head = arch.head
    match head.kind:
        case "none":
            pass
        case "masked_lm":
            _masked_lm(g, x, arch, weights)
        case "span":
            g.linear(x, "head.output", weights)
        case "classification":
            g.linear(_pool(g, x, head.pooling), "head.output", weights)
        case "embedding":
            pooled = _pool(g, x, head.pooling)
            norm = g.add("ReduceL2", [pooled, g.integers(1)], "head.norm", keepdims=1)
            safe = g.add("Max", [norm, g.number(1e-12)], "head.norm.safe")
            g.add("Div", [pooled, safe], "head.unit")
        case _:
            assert_never(head.kind)


def _pool(g: GraphBuilder, x: str, pooling: str | None) -> str:
    """Batch x width: the first state, or the mean of those that are not padding."""
    if pooling == "first":
        return g.add("Gather", [x, g.integer(0)], "head.pooled", axis=1)
    row = g.add("Unsqueeze", ["mask.float", g.integers(1)], "head.mask")
    total = g.add("MatMul", [row, x], "head.sum")
    total = g.add("Squeeze", [total, g.integers(1)], "head.total")
    count = g.add("ReduceSum", ["mask.float", g.integers(1)], "head.count", keepdims=1)
    safe = g.add("Max", [count, g.number(1e-9)], "head.count.safe")
    return g.add("Div", [total, safe], "head.pooled")


def _masked_lm(g: GraphBuilder, x: str, arch: Architecture, weights: Weights) -> None:
    x = g.linear(x, "head.transform", weights)
    x = _activate(g, x, "head.active", arch.activation)
    x = _norm(g, x, "head.norm", (arch, weights))
    # Gemm reads the word embeddings transposed, so that the file holds them once.
    rows = g.add("Reshape", [x, g.integers(-1, arch.embedding.width)], "head.rows")
    bias = g.constant("head.bias", weights["head.bias"])
    scores = g.add("Gemm", [rows, "embedding.tokens", bias], "head.scores", transB=1)
    shape = g.add("Shape", ["input_ids"], "head.shape")
    vocabulary = g.integers(arch.embedding.vocab_size)
    shape = g.add("Concat", [shape, vocabulary], "head.logits_shape", axis=0)
    g.add("Reshape", [scores, shape], "head.by_position")


def output_shape(arch: Architecture, batch: str | int, seq: str | int) -> tuple[str | int, ...]:
    """Of the one output of an exported network; numbers, or names of axes."""
    last: dict[str, tuple[str | int, ...]] = {
        "none": (batch, seq, arch.width),
        "masked_lm": (batch, seq, arch.embedding.vocab_size),
        "span": (batch, seq, arch.head.outputs),
        "classification": (batch, arch.head.outputs),
        "embedding": (batch, arch.width),
    }
    return last[arch.head.kind]


def _model(g: GraphBuilder, arch: Architecture, workload: Workload | None) -> onnx.ModelProto:
    axes: tuple[str | int, str | int] = ("batch", "seq")
    if workload is not None:
        axes = (workload.batch, workload.seq_len)
    info = helper.make_tensor_value_info
    inputs = [info(name, TensorProto.INT64, list(axes)) for name in INPUTS]
    outputs = [info(arch.head.output, TensorProto.FLOAT, list(output_shape(arch, *axes)))]
    g.interface(inputs, outputs)
    model = g.model
    model.ir_version, model.producer_name = IR_VERSION, "fleetfit"
    model.opset_import.append(helper.make_opsetid("", OPSET))
    # Not every runtime notices what is too long or beyond a table, so its adapter reads this.
    helper.set_model_props(model, {name: str(getattr(arch.embedding, name)) for name in SIZES})
    return model
