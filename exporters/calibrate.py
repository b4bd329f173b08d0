"""The ranges of activations on real inputs, for int8 with fixed scales."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper

from exporters._onnxruntime import open_model
from exporters.quantize import ActivationRange, linear_inputs
from exporters.runtime import Inputs
from exporters.serialize import model_bytes

__all__ = ["PLAIN_OPTIONS", "activation_ranges"]

PLAIN_OPTIONS: Final[dict[str, Any]] = {
    "session": {"log_severity_level": 4},
    "entries": {},
    "providers": ["CPUExecutionProvider"],
}
"""ONNX Runtime as it comes, but for its log; for models that nobody times."""


def activation_ranges(
    model: onnx.ModelProto, calibration: Sequence[Inputs]
) -> dict[str, ActivationRange]:
    """What enters each linear map of an emitted fp32 model, over runs on ``calibration``.

    A range is the mean over runs of the lowest and of the highest value: one outlier of one text
    would widen the steps of all others. Raises as ``Runtime.load`` and ``Session.run``.
    """
    names = linear_inputs(model)
    watched = onnx.ModelProto()
    watched.CopyFrom(model)
    del watched.graph.output[:]  # they would be kept for every run
    for name in names:
        for op in ("ReduceMin", "ReduceMax"):
            end = f"{name}.{op}"
            watched.graph.node.append(helper.make_node(op, [name], [end], name=end, keepdims=0))
            watched.graph.output.append(helper.make_tensor_value_info(end, TensorProto.FLOAT, []))
    session = open_model(model_bytes(watched), PLAIN_OPTIONS)
    seen = [session.run(inputs) for inputs in calibration]

    def mean(name: str) -> float:
        values: npt.NDArray[np.float64] = np.array([found[name] for found in seen], np.float64)
        return float(values.mean())

    return {
        name: ActivationRange(low=mean(f"{name}.ReduceMin"), high=mean(f"{name}.ReduceMax"))
        for name in names
    }
