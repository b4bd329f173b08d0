"""An emitted ONNX model with its linear maps in int8, as rewritten here node by node.

Weights: symmetric int8 with one scale for each output (Jacob et al. 2018, section 2.1).
Activations: one scale and zero point for a whole tensor, of each run (``quantize_dynamic``) or from
calibration (``quantize_static``, as quantise-dequantise pairs). Attention scores, norms and
activation functions stay fp32. The table of word embeddings is kept in int8 with one scale for
each word, unless the head reads it, too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, numpy_helper

from exporters._graph import GraphBuilder
from exporters.emit import PRECISION
from fleetfit import InputError, Precision

__all__ = [
    "BITS",
    "ActivationRange",
    "linear_inputs",
    "quantize_dynamic",
    "quantize_static",
]

BITS: Final = "weight_bits"
"""Key of the model's metadata: bits of an int8 weight that are used."""
_TABLE: Final = "embedding.tokens"
Bits = Literal[7, 8]


@dataclass(frozen=True, kw_only=True, slots=True)
class ActivationRange:
    """What an activation was seen to lie in."""

    low: float
    high: float

    def __post_init__(self) -> None:
        """Both are finite."""
        if not (math.isfinite(self.low) and math.isfinite(self.high)):
            raise InputError(
                "Activations must be finite on the texts for calibration, but one lies from "
                f"{self.low} to {self.high}; train the network again with a lower learning rate."
            )

    def affine(self) -> tuple[np.float32, np.uint8]:
        """Scale and zero point of uint8; 0 is exact, for padding and empty rows."""
        low, high = min(self.low, 0.0), max(self.high, 0.0)
        scale = np.float32(max(high - low, 1e-12) / 255)
        return scale, np.uint8(np.clip(round(-low / float(scale)), 0, 255))

    def symmetric(self) -> tuple[np.float32, np.int8]:
        """Scale of int8 around 0, which is all that TensorRT takes."""
        return np.float32(max(-self.low, self.high, 1e-12) / 127), np.int8(0)


def linear_inputs(model: onnx.ModelProto) -> list[str]:
    """Names of the tensors that enter products with weights, each once, in order."""
    weights = _matrices(model)
    found = (
        n.input[0] for n in model.graph.node if n.op_type == "MatMul" and n.input[1] in weights
    )
    return list(dict.fromkeys(found))


def quantize_dynamic(model: onnx.ModelProto, *, bits: Bits) -> onnx.ModelProto:
    """Products in int8; each run looks for the range of its activations.

    ``bits`` of a weight: 8, or 7 where a processor adds two products in 16 bits, which would
    overflow (x86-64 without VNNI).
    """
    return _Rewrite(model, bits=bits).run(_dynamic, "int8_dynamic")


def quantize_static(
    model: onnx.ModelProto,
    ranges: Mapping[str, ActivationRange],
    *,
    bits: Bits,
    symmetric: bool = False,
) -> onnx.ModelProto:
    """Products between quantise-dequantise pairs, which runtimes fuse to int8.

    ``ranges``: of every tensor of ``linear_inputs``; ``symmetric``: int8 activations around 0, and
    the word embeddings stay as they are (TensorRT), else uint8.
    """

    def product(rewrite: _Rewrite, node: onnx.NodeProto) -> None:
        _static(rewrite, node, ranges[node.input[0]], symmetric=symmetric)

    return _Rewrite(model, bits=bits, table=not symmetric).run(product, "int8")


class _Rewrite:
    """One pass over the nodes of a model into a new one."""

    def __init__(self, model: onnx.ModelProto, *, bits: Bits, table: bool = True) -> None:
        self.model, self.bits = model, bits
        self.g = GraphBuilder(model.graph.name)
        self.weights = _matrices(model)
        self._tensors = {t.name: t for t in model.graph.initializer}
        readers = [n for n in model.graph.node if _TABLE in n.input]
        self._table = table and all(n.op_type == "Gather" for n in readers)
        self.made: set[str] = set()

    def run(self, product: _Product, precision: Precision) -> onnx.ModelProto:
        """The new model; ``product(self, node)`` writes a linear map in int8."""
        for node in self.model.graph.node:
            if node.op_type == "MatMul" and node.input[1] in self.weights:
                product(self, node)
            elif self._table and node.op_type == "Gather" and node.input[0] == _TABLE:
                self._rows(node)
            else:
                for name in node.input:
                    self.keep(name)
                self.g.copy(node)
        return self.g.finished(self.model, {PRECISION: precision, BITS: str(self.bits)})

    def keep(self, name: str) -> None:
        """Take over an initializer of the old model, where ``name`` is one."""
        if name in self._tensors:
            self.g.constant(name, self.array(name))

    def array(self, name: str) -> npt.NDArray[Any]:
        """An initializer's values."""
        found: npt.NDArray[Any] = numpy_helper.to_array(self._tensors[name])
        return found

    def columns(self, name: str) -> tuple[str, str, str]:
        """Names of a matrix (in, out) in int8, its scales and its zero points, one a column."""
        matrix, scales = _per_row(self.array(name).T, self.bits)
        g = self.g
        return (
            g.constant(f"{name}.int8", matrix.T),
            g.constant(f"{name}.scale", scales),
            g.constant(f"{name}.zero", np.zeros(len(scales), dtype=np.int8)),
        )

    def _rows(self, node: onnx.NodeProto) -> None:
        """Word embeddings: int8 rows times their scales."""
        g, ids, name = self.g, node.input[1], node.output[0]
        rows, scales = _per_row(self.array(_TABLE), 8)
        table = g.constant(f"{_TABLE}.int8", rows)
        scale = g.constant(f"{_TABLE}.scale", scales[:, None])
        found = g.add("Gather", [table, ids], f"{name}.int8")
        wide = g.add("Cast", [found], f"{name}.float", to=TensorProto.FLOAT)
        g.add("Mul", [wide, g.add("Gather", [scale, ids], f"{name}.scale")], name)


_Product = Callable[[_Rewrite, onnx.NodeProto], None]


def _dynamic(rewrite: _Rewrite, node: onnx.NodeProto) -> None:
    """ONNX Runtime fuses these nodes, with the bias behind them, into one."""
    g, x, name = rewrite.g, node.input[0], node.output[0]
    matrix, scales, zeros = rewrite.columns(node.input[1])
    if x not in rewrite.made:
        rewrite.made.add(x)
        g.add_many("DynamicQuantizeLinear", [x], [f"{x}.uint8", f"{x}.scale", f"{x}.zero"])
    whole = g.add("MatMulInteger", [f"{x}.uint8", matrix, f"{x}.zero", zeros], f"{name}.int32")
    wide = g.add("Cast", [whole], f"{name}.float", to=TensorProto.FLOAT)
    g.add("Mul", [wide, g.add("Mul", [f"{x}.scale", scales], f"{name}.scale")], name)


def _static(
    rewrite: _Rewrite, node: onnx.NodeProto, seen: ActivationRange, *, symmetric: bool
) -> None:
    g, x, name = rewrite.g, node.input[0], node.output[0]
    matrix, scales, zeros = rewrite.columns(node.input[1])
    if x not in rewrite.made:
        rewrite.made.add(x)
        scale, zero = seen.symmetric() if symmetric else seen.affine()
        given = [
            g.constant(f"{x}.scale", np.array(scale)),
            g.constant(f"{x}.zero", np.array(zero)),
        ]
        g.add("QuantizeLinear", [x, *given], f"{x}.quantized")
        g.add("DequantizeLinear", [f"{x}.quantized", *given], f"{x}.rounded")
    weight = g.add("DequantizeLinear", [matrix, scales, zeros], f"{node.input[1]}.rounded", axis=1)
    g.add("MatMul", [f"{x}.rounded", weight], name)


def _per_row(
    rows: npt.NDArray[np.float32], bits: int
) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.float32]]:
    """Symmetric int8 with one scale for each row, which is never 0."""
    most = 2 ** (bits - 1) - 1
    scales = np.maximum(np.abs(rows).max(axis=1), np.float32(1e-12)) / np.float32(most)
    return np.rint(rows / scales[:, None]).astype(np.int8), scales.astype(np.float32)


def _matrices(model: onnx.ModelProto) -> frozenset[str]:
    """Names of the weights of linear maps."""
    return frozenset(
        t.name
        for t in model.graph.initializer
        if len(t.dims) == 2 and t.data_type == TensorProto.FLOAT and t.name != _TABLE
    )
