"""Weights -> ONNX -> runtime artefact -> bundle."""

from exporters._cuda import cuda_bus
from exporters._file import artifact_of
from exporters.bundle import load_bundle, read_weights, write_bundle
from exporters.emit import INPUTS, emit
from exporters.inputs import make_inputs
from exporters.lengths import length_law, token_lengths
from exporters.loaded import LoadedBundle
from exporters.manifest import Cost, Licence, Manifest, TaskMetric
from exporters.onnxruntime_cpu import plain_session
from exporters.parity import LIMITS, Parity, check_parity, differences
from exporters.questions import Answer
from exporters.random_weights import random_weights
from exporters.registry import (
    RUNTIMES,
    all_targets,
    default_targets,
    runtime,
    runtime_of,
    write_plain,
)
from exporters.runtime import Artifact, Inputs, Outputs, Runtime, Session
from exporters.serialize import model_bytes

__all__ = [
    "INPUTS",
    "LIMITS",
    "RUNTIMES",
    "Answer",
    "Artifact",
    "Cost",
    "Inputs",
    "Licence",
    "LoadedBundle",
    "Manifest",
    "Outputs",
    "Parity",
    "Runtime",
    "Session",
    "TaskMetric",
    "all_targets",
    "artifact_of",
    "check_parity",
    "cuda_bus",
    "default_targets",
    "differences",
    "emit",
    "length_law",
    "load_bundle",
    "make_inputs",
    "model_bytes",
    "plain_session",
    "random_weights",
    "read_weights",
    "runtime",
    "runtime_of",
    "token_lengths",
    "write_bundle",
    "write_plain",
]
