"""A small builder of ONNX graphs: nodes in order, weights as initializers, one name per tensor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper

__all__ = ["GraphBuilder"]

_TYPES = {
    np.dtype(np.float32): TensorProto.FLOAT,
    np.dtype(np.float16): TensorProto.FLOAT16,
    np.dtype(np.int64): TensorProto.INT64,
    np.dtype(np.int32): TensorProto.INT32,
    np.dtype(np.int8): TensorProto.INT8,
    np.dtype(np.uint8): TensorProto.UINT8,
}


class GraphBuilder:
    """Collects nodes and initializers; a node's first output has its name.

    Everything is made where it stays, inside the model: protobuf's ``extend`` and ``CopyFrom``,
    which the helpers of ``onnx`` use, would each copy all weights once more.
    """

    def __init__(self, name: str) -> None:
        """An empty graph."""
        self.model = onnx.ModelProto()
        self._graph = self.model.graph
        self._graph.name = name
        self._constants: set[str] = set()

    def add(self, op: str, inputs: Sequence[str], name: str, **attributes: object) -> str:
        """Append a node; returns the name of its output, which is ``name``."""
        node = helper.make_node(op, list(inputs), [name], name=name, **attributes)
        self._graph.node.append(node)
        return name

    def add_many(self, op: str, inputs: Sequence[str], outputs: Sequence[str]) -> None:
        """Append a node with several outputs; its name is the first one's."""
        names = list(outputs)
        self._graph.node.append(helper.make_node(op, list(inputs), names, name=names[0]))

    def copy(self, node: onnx.NodeProto) -> None:
        """Append a copy of a node of another graph."""
        self._graph.node.append(node)

    def end(self, output: str) -> None:
        """Give the output of the last node the name ``output`` of the graph's output.

        An ``Identity`` would do too, but a runtime that drops it may drop the name with it.
        """
        self._graph.node[-1].output[0] = output

    def constant(self, name: str, array: npt.NDArray[Any], *, kind: int | None = None) -> str:
        """Keep ``array`` in the file under ``name``, once; returns the name.

        ``kind``: ONNX's type of the bits in ``array``, where numpy has none for it (bfloat16).
        """
        if name not in self._constants:
            self._constants.add(name)
            tensor = self._graph.initializer.add()
            tensor.name, tensor.data_type = name, kind or _TYPES[array.dtype]
            tensor.dims.extend(array.shape)
            # One copy, in C order even of a transposed view, and little-endian everywhere.
            tensor.raw_data = array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()
        return name

    def integers(self, *values: int) -> str:
        """A constant int64 vector; equal vectors are kept once."""
        name = "const." + "_".join(map(str, values))
        return self.constant(name, np.array(values, dtype=np.int64))

    def integer(self, value: int) -> str:
        """A constant int64 scalar; equal scalars are kept once."""
        return self.constant(f"const.{value}i", np.array(value, dtype=np.int64))

    def number(self, value: float) -> str:
        """A constant float32 scalar; equal scalars are kept once."""
        return self.constant(f"const.{value!r}f", np.array(value, dtype=np.float32))

    def linear(self, value: str, name: str, weights: Mapping[str, npt.NDArray[np.float32]]) -> str:
        """``value @ W.T + b``; W is (out, in) in ``weights`` and transposed here, once."""
        return self.affine(value, name, weights[f"{name}.weight"].T, weights[f"{name}.bias"])

    def affine(
        self,
        value: str,
        name: str,
        matrix: npt.NDArray[np.float32],
        bias: npt.NDArray[np.float32],
    ) -> str:
        """``value @ matrix + bias`` with a matrix (in, out)."""
        weight = self.constant(f"{name}.weight", matrix)
        product = self.add("MatMul", [value, weight], f"{name}.product")
        return self.add("Add", [product, self.constant(f"{name}.bias", bias)], f"{name}.out")

    def interface(self, inputs: Sequence[Any], outputs: Sequence[Any]) -> None:
        """Declare the inputs and outputs of the graph (ValueInfoProto)."""
        self._graph.input.extend(inputs)
        self._graph.output.extend(outputs)

    def finished(self, model: onnx.ModelProto, metadata: dict[str, str]) -> onnx.ModelProto:
        """What was built in the place of ``model``, with more of ``metadata``."""
        self.interface(model.graph.input, model.graph.output)
        made = self.model
        made.ir_version, made.producer_name = model.ir_version, model.producer_name
        made.opset_import.extend(model.opset_import)
        made.metadata_props.extend(model.metadata_props)
        for key, value in metadata.items():
            made.metadata_props.add(key=key, value=value)
        return made
