"""Describe this machine: processor, usable cores, memory, GPUs, versions of runtimes and driver."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import os
import platform
import sys
from pathlib import Path
from typing import Final

from devices.cgroup import cpu_quota, memory_limit
from devices.nvml import NvmlGpu, opened_nvml
from fleetfit import DeviceInfo, SurroundingsError

__all__ = [
    "cpu_model_and_flags",
    "describe",
    "gpus_and_driver",
    "require_linux",
    "runtime_versions",
]

_PROC: Final = Path("/proc")
_SYS: Final = Path("/sys")
# The wheels that carry each runtime, the plain one first.
_DISTRIBUTIONS: Final = {
    "onnxruntime": ("onnxruntime", "onnxruntime-gpu", "onnxruntime-openvino"),
    "openvino": ("openvino",),
    "tensorrt": ("tensorrt", "tensorrt-cu13", "tensorrt-cu12"),
}


def describe(*, proc: Path = _PROC, sys_root: Path = _SYS) -> DeviceInfo:
    """This machine as the calling process may use it (affinity and control group limits).

    No runtime is imported. ``name`` is the host name with 8 digits of the device class, so that
    one host under another core limit counts as another machine. Off Linux, flags are empty and
    limits of control groups are not seen; GPUs are NVIDIA's, seen where nvidia-ml-py is installed.
    """
    model, flags = cpu_model_and_flags(proc)
    gpus, driver = gpus_and_driver()
    info = DeviceInfo(
        name=platform.node() or "unnamed",
        cpu_model=model,
        cpu_flags=flags,
        cores=_usable_cores(proc, sys_root),
        memory_bytes=_memory_bytes(proc, sys_root),
        machine=platform.machine(),
        system=f"{platform.system()} {platform.release()}",
        gpus=gpus,
        versions=runtime_versions() | driver,
    )
    return dataclasses.replace(info, name=f"{info.name}-{info.device_class[:8]}")


def require_linux(what: str) -> None:
    """Raise SurroundingsError off Linux; ``what`` is a plural that names what needs it."""
    if not sys.platform.startswith("linux"):
        raise SurroundingsError(
            f"{what} must run on Linux (they read /proc), but this is {sys.platform}; "
            "use a Linux machine or container for measuring."
        )


def cpu_model_and_flags(proc: Path = _PROC) -> tuple[str, tuple[str, ...]]:
    """Name and sorted flags of the first processor in ``cpuinfo`` (x86-64 and aarch64 forms)."""
    entries: dict[str, str] = {}
    try:
        text = (proc / "cpuinfo").read_text(errors="replace")
    except OSError:
        text = ""
    for line in text.splitlines():
        key, colon, value = line.partition(":")
        if colon:
            entries.setdefault(key.strip(), value.strip())
    flags = entries.get("flags", entries.get("Features", ""))
    model = entries.get("model name")
    if model is None and "CPU part" in entries:  # aarch64 gives numbers instead of a name
        model = f"ARM {entries.get('CPU implementer', '?')}/{entries['CPU part']}"
    return model or platform.processor() or "unknown", tuple(sorted(set(flags.split())))


def runtime_versions() -> dict[str, str]:
    """Installed version of each runtime, read from the package metadata; absent ones left out."""
    versions = {}
    for runtime, names in _DISTRIBUTIONS.items():
        for name in names:
            try:
                versions[runtime] = importlib.metadata.version(name)
                break
            except importlib.metadata.PackageNotFoundError:
                continue
    return versions


def gpus_and_driver() -> tuple[tuple[str, ...], dict[str, str]]:
    """Each GPU with its memory and compute capability, and the version of their driver."""
    with opened_nvml() as nvml:
        gpus = tuple(_described(gpu) for gpu in nvml.gpus)
        return gpus, {"nvidia-driver": nvml.driver} if gpus and nvml.driver else {}


def _described(gpu: NvmlGpu) -> str:
    parts = [gpu.name]
    if (size := gpu.memory_bytes) is not None:
        parts.append(f"{size / 2**30:.0f} GiB")
    if (capability := gpu.capability) is not None:
        parts.append("compute capability {}.{}".format(*capability))
    return ", ".join(parts)


def _usable_cores(proc: Path, sys_root: Path) -> int:
    if sys.platform.startswith("linux"):
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    quota = cpu_quota(proc, sys_root)
    # Rounded down: a thread above the quota would be throttled.
    return cores if quota is None else max(1, min(cores, int(quota)))


def _memory_bytes(proc: Path, sys_root: Path) -> int:
    import psutil

    physical = int(psutil.virtual_memory().total)
    limit = memory_limit(proc, sys_root)
    return physical if limit is None else min(physical, limit)
