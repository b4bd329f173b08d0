"""Weights -> ONNX -> runtime artefact -> bundle."""

from exporters.emit import INPUTS, IR_VERSION, OPSET, OUTPUTS, emit, model_bytes
from exporters.inputs import make_inputs
from exporters.parity import Parity, Reference, check_parity
from exporters.random_weights import random_weights
from exporters.registry import RUNTIMES, runtime
from exporters.runtime import Artifact, Inputs, Outputs, Runtime, Session

__all__ = [
    "INPUTS",
    "IR_VERSION",
    "OPSET",
    "OUTPUTS",
    "RUNTIMES",
    "Artifact",
    "Inputs",
    "Outputs",
    "Parity",
    "Reference",
    "Runtime",
    "Session",
    "check_parity",
    "emit",
    "make_inputs",
    "model_bytes",
    "random_weights",
    "runtime",
]
