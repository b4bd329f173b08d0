"""A small builder of ONNX graphs: nodes in order, weights as initializers, one name per tensor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper

__all__ = ["GraphBuilder"]

_TYPES = {np.dtype(np.float32): TensorProto.FLOAT, np.dtype(np.int64): TensorProto.INT64}


class GraphBuilder:
    """Collects nodes and initializers; each node has one output, named like the node."""

    def __init__(self) -> None:
        """An empty graph."""
        self._nodes: list[Any] = []
        self._initializers: dict[str, Any] = {}

    def add(self, op: str, inputs: Sequence[str], name: str, **attributes: object) -> str:
        """Append a node; returns the name of its output, which is ``name``."""
        self._nodes.append(helper.make_node(op, list(inputs), [name], name=name, **attributes))
        return name

    def split(self, value: str, names: Sequence[str]) -> None:
        """Append a split of the last axis into equal parts ``names``."""
        parts = list(names)
        count = len(parts)
        self._nodes.append(
            helper.make_node("Split", [value], parts, name=parts[0], axis=-1, num_outputs=count)
        )

    def end(self, output: str) -> None:
        """Give the output of the last node the name ``output`` of the graph's output.

        An ``Identity`` would do too, but a runtime that drops it may drop the name with it.
        """
        self._nodes[-1].output[0] = output

    def constant(self, name: str, array: npt.NDArray[Any]) -> str:
        """Keep ``array`` (float32 or int64) in the file under ``name``, once; returns the name."""
        if name not in self._initializers:
            little_endian = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
            tensor = TensorProto(name=name, data_type=_TYPES[array.dtype], dims=array.shape)
            tensor.raw_data = little_endian.tobytes()
            self._initializers[name] = tensor
        return name

    def integers(self, *values: int) -> str:
        """A constant int64 vector; equal vectors are kept once."""
        name = "const." + "_".join(map(str, values))
        return self.constant(name, np.array(values, dtype=np.int64))

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

    def graph(self, name: str, inputs: Sequence[Any], outputs: Sequence[Any]) -> onnx.GraphProto:
        """The finished graph."""
        tensors = list(self._initializers.values())
        return helper.make_graph(self._nodes, name, list(inputs), list(outputs), tensors)
