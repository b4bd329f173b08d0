"""The words everything speaks: values, their canonical JSON, the error tree."""

from fleetfit.architecture import (
    Architecture,
    Embedding,
    FeedForward,
    Head,
    Layer,
    LinearTransform,
    SelfAttention,
    SeparableConv,
    SpanConv,
    SubLayer,
)
from fleetfit.budget import Budget, Metric
from fleetfit.codec import digest, dumps, from_json, loads, to_json
from fleetfit.counts import macs, parameters
from fleetfit.device import DeviceInfo, Health
from fleetfit.errors import (
    INTERRUPTED,
    FleetfitError,
    InfeasibleError,
    InputError,
    RuntimeMissing,
    SurroundingsError,
)
from fleetfit.measurement import Flag, Job, Measurement, ProtocolName, Status, versions_of
from fleetfit.query import (
    QUANTIZED,
    Precision,
    Provider,
    Query,
    RuntimeName,
    Target,
    Workload,
)
from fleetfit.readings import GpuUse, MemoryReading, MemoryStage, Window
from fleetfit.table import IntArray, LayerTable
from fleetfit.weights import Weights, check_weights, weight_shapes

__all__ = [
    "INTERRUPTED",
    "QUANTIZED",
    "Architecture",
    "Budget",
    "DeviceInfo",
    "Embedding",
    "FeedForward",
    "Flag",
    "FleetfitError",
    "GpuUse",
    "Head",
    "Health",
    "InfeasibleError",
    "InputError",
    "IntArray",
    "Job",
    "Layer",
    "LayerTable",
    "LinearTransform",
    "Measurement",
    "MemoryReading",
    "MemoryStage",
    "Metric",
    "Precision",
    "ProtocolName",
    "Provider",
    "Query",
    "RuntimeMissing",
    "RuntimeName",
    "SelfAttention",
    "SeparableConv",
    "SpanConv",
    "Status",
    "SubLayer",
    "SurroundingsError",
    "Target",
    "Weights",
    "Window",
    "Workload",
    "check_weights",
    "digest",
    "dumps",
    "from_json",
    "loads",
    "macs",
    "parameters",
    "to_json",
    "versions_of",
    "weight_shapes",
]
