"""The runtimes by name."""

from __future__ import annotations

from typing import get_args

from exporters.onnxruntime_cpu import OnnxRuntimeCpu
from exporters.openvino_cpu import OpenVinoCpu
from exporters.runtime import Runtime
from fleetfit import InputError, RuntimeName

__all__ = ["RUNTIMES", "runtime"]

RUNTIMES: dict[RuntimeName, Runtime] = {"onnxruntime": OnnxRuntimeCpu(), "openvino": OpenVinoCpu()}


def runtime(name: str) -> Runtime:
    """The runtime of that name, installed or not; raises InputError for an unknown one."""
    for known, found in RUNTIMES.items():
        if known == name:
            return found
    raise InputError(f"A runtime must be one of {', '.join(get_args(RuntimeName))}, got {name!r}.")
