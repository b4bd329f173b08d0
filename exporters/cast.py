"""An emitted fp32 model with weights and activations in fp16 or bf16, cast here node by node.

Inputs stay int64 and the output fp32. Norms sum in fp32 by ONNX's definition (``stash_type``). ONNX
Runtime keeps to it on a GPU in its strict mode alone, which its adapter sets; whether TensorRT does
is not verified.
What pools and scales embeddings stays fp32: its small constants would be 0 in fp16, and its sums of
squares might not fit. Runtimes that take precision from the graph alone (TensorRT, strongly typed;
ONNX Runtime on GPUs) so run it as it is written.
"""

from __future__ import annotations

from typing import Final, Literal

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, numpy_helper

from exporters._graph import GraphBuilder
from exporters.emit import PRECISION
from fleetfit import InputError

__all__ = ["HalfPrecision", "cast_model"]

HalfPrecision = Literal["fp16", "bf16"]
_TYPES: Final = {"fp16": TensorProto.FLOAT16, "bf16": TensorProto.BFLOAT16}
_HIGHEST: Final = 3e4
"""Of constants: the mask's -1e9 would be -inf in fp16, and scores of up to 35,000 still fit."""
_WIDE: Final = frozenset(
    f"head.{name}"
    for name in (
        "mask",
        "sum",
        "total",
        "count",
        "count.safe",
        "pooled",
        "norm",
        "norm.safe",
        "unit",
    )
)
"""Nodes that stay fp32, but for the ``Gather`` of the first state."""


def cast_model(model: onnx.ModelProto, precision: HalfPrecision) -> onnx.ModelProto:
    """The same network in ``precision``, named in the metadata under ``PRECISION``.

    Raises InputError where a weight does not fit into fp16.
    """
    return _Cast(model, precision).run()


class _Cast:
    """One pass over the nodes of a model into a new one.

    A tensor keeps its name in the precision it is computed in; a copy in the other has a suffix.
    """

    def __init__(self, model: onnx.ModelProto, precision: HalfPrecision) -> None:
        self.model, self.precision = model, precision
        self.type = _TYPES[precision]
        self.g = GraphBuilder(model.graph.name)
        self._tensors = {t.name: t for t in model.graph.initializer}
        self._floats: dict[str, bool] = {}  # computed so far, and whether in fp32
        self._made: dict[tuple[str, bool], str] = {}

    def run(self) -> onnx.ModelProto:
        for node in self.model.graph.node:
            self._node(node)
        self._outputs()
        return self.g.finished(self.model, {PRECISION: self.precision})

    def _node(self, node: onnx.NodeProto) -> None:
        wide = node.name in _WIDE and node.op_type != "Gather"
        copy = onnx.NodeProto()
        copy.CopyFrom(node)
        del copy.input[:]
        copy.input.extend(self._input(name, wide=wide) for name in node.input)
        is_cast = node.op_type == "Cast"
        if is_cast:
            copy.attribute[0].i = self.type  # the only cast that is emitted: the mask's, to float
        self.g.copy(copy)
        if is_cast or any(self._is_float(name) for name in node.input):
            self._floats |= dict.fromkeys(node.output, wide)

    def _is_float(self, name: str) -> bool:
        tensor = self._tensors.get(name)
        return name in self._floats or (
            tensor is not None and tensor.data_type == TensorProto.FLOAT
        )

    def _input(self, name: str, *, wide: bool) -> str:
        """The name under which ``name`` is there in the precision of a node; made where needed."""
        if name in self._tensors:
            return self._constant(name, wide=wide)
        if self._floats.get(name, wide) == wide:  # as it is computed, or no float
            return name
        if (name, wide) not in self._made:
            made = f"{name}.{'fp32' if wide else self.precision}"
            kind = TensorProto.FLOAT if wide else self.type
            self._made[name, wide] = self.g.add("Cast", [name], made, to=kind)
        return self._made[name, wide]

    def _constant(self, name: str, *, wide: bool) -> str:
        values = numpy_helper.to_array(self._tensors[name])
        if not self._is_float(name):
            return self.g.constant(name, values)
        if wide:
            return self.g.constant(f"{name}.fp32", values)
        if values.ndim == 0:
            values = np.clip(values, -_HIGHEST, _HIGHEST)
        if self.precision == "bf16":
            return self.g.constant(name, bf16_bits(values), kind=TensorProto.BFLOAT16)
        with np.errstate(over="ignore"):  # told below
            halves = values.astype(np.float16)
        if not np.isfinite(halves).all():
            raise InputError(
                f"Weights must be at most 65504 in fp16, but {name} has "
                f"{np.abs(values).max():.3g}; choose bf16 or fp32."
            )
        return self.g.constant(name, halves)

    def _outputs(self) -> None:
        """The graph's output in fp32 under its own name."""
        (output,) = self.model.graph.output
        if not self._floats[output.name]:
            self.g.end(f"{output.name}.{self.precision}")
            self.g.add("Cast", [f"{output.name}.{self.precision}"], "output", to=TensorProto.FLOAT)
            self.g.end(output.name)


def bf16_bits(values: npt.NDArray[np.float32]) -> npt.NDArray[np.uint16]:
    """The upper halves of float32, rounded to the nearest, ties to even; no NaN may be in it."""
    bits = np.asarray(values, dtype=np.float32).view(np.uint32)
    odd = (bits >> np.uint32(16)) & np.uint32(1)
    return ((bits + np.uint32(0x7FFF) + odd) >> np.uint32(16)).astype(np.uint16)
