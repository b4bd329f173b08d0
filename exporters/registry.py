"""The runtimes by name."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import onnx

from exporters.onnxruntime_cpu import OnnxRuntimeCpu
from exporters.onnxruntime_cuda import OnnxRuntimeCuda
from exporters.openvino_cpu import OpenVinoCpu
from exporters.runtime import Runtime
from exporters.tensorrt_gpu import TensorRtGpu
from fleetfit import QUANTIZED, DeviceInfo, InputError, Target, Workload

__all__ = ["RUNTIMES", "all_targets", "default_targets", "runtime", "runtime_of", "write_plain"]

RUNTIMES: Final[dict[str, Runtime]] = {
    "onnxruntime": OnnxRuntimeCpu(),
    "openvino": OpenVinoCpu(),
    "onnxruntime-cuda": OnnxRuntimeCuda(),
    "tensorrt": TensorRtGpu(),
}
"""Runtime, with ``-cuda`` where it also runs on processors, to its adapter."""


def runtime(name: str) -> Runtime:
    """The runtime of that name, installed or not; raises InputError for an unknown one."""
    if name not in RUNTIMES:
        raise InputError(
            f"A runtime must be one of {', '.join(RUNTIMES)}, but got {name!r}; choose one."
        )
    return RUNTIMES[name]


def runtime_of(target: Target) -> Runtime:
    """The runtime that builds and loads for ``target``; raises InputError where none does."""
    both = f"{target.runtime}-{target.provider}"
    found = runtime(both if both in RUNTIMES else target.runtime)
    if found.provider != target.provider:
        raise InputError(
            f"A target of {target.runtime} must run on {found.provider}, but got {target} on "
            f"{target.provider}; choose another runtime or provider."
        )
    return found


def all_targets(device: DeviceInfo, *, threads: int) -> tuple[Target, ...]:
    """What every installed runtime can run on the device; none where none is installed."""
    return tuple(t for r in RUNTIMES.values() for t in r.targets(device, threads=threads))


def default_targets(device: DeviceInfo, *, threads: int) -> tuple[Target, ...]:
    """``all_targets`` without those that are chosen by name alone (QUANTIZED)."""
    return tuple(t for t in all_targets(device, threads=threads) if t.precision not in QUANTIZED)


def write_plain(
    model: onnx.ModelProto, target: Target, workload: Workload, directory: Path
) -> Path:
    """Write ``model`` as it was emitted, with the shapes of ``target``; raises as Runtime.build."""
    fp32 = Target(runtime="onnxruntime", shapes=target.shapes)
    return Path(runtime_of(fp32).build(model, fp32, workload, directory).path)
