"""The runtimes by name."""

from __future__ import annotations

from typing import get_args

from exporters.onnxruntime_cpu import OnnxRuntimeCpu
from exporters.openvino_cpu import OpenVinoCpu
from exporters.runtime import Runtime
from fleetfit import DeviceInfo, InputError, RuntimeName, Target

__all__ = ["RUNTIMES", "all_targets", "runtime"]

RUNTIMES: dict[RuntimeName, Runtime] = {"onnxruntime": OnnxRuntimeCpu(), "openvino": OpenVinoCpu()}


def runtime(name: str) -> Runtime:
    """The runtime of that name, installed or not; raises InputError for an unknown one."""
    for known, found in RUNTIMES.items():
        if known == name:
            return found
    raise InputError(f"A runtime must be one of {', '.join(get_args(RuntimeName))}, got {name!r}.")


def all_targets(device: DeviceInfo, *, threads: int) -> tuple[Target, ...]:
    """What every installed runtime can run on the device; none where none is installed."""
    return tuple(t for r in RUNTIMES.values() for t in r.targets(device, threads=threads))
