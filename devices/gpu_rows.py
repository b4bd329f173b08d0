"""What may disturb a measurement on a GPU."""

from __future__ import annotations

import os
from pathlib import Path

from devices.disturbance import Disturbance
from devices.nvml import NvmlGpu, opened_nvml
from devices.pseudo_files import read_or_empty

__all__ = ["gpu_rows"]

_CHOSEN = frozenset({"application clocks", "display clocks", "sync boost"})
"""Reasons for a low clock that somebody has set."""


def gpu_rows(proc: Path) -> list[Disturbance]:
    """Of each of NVIDIA's GPUs; one row where none can be seen."""
    with opened_nvml() as nvml:
        if not nvml.gpus:
            return [Disturbance(what="GPUs", found=f"none ({nvml.why_none})", matters="ok")]
        many = len(nvml.gpus) > 1
        return [
            row
            for i, gpu in enumerate(nvml.gpus)
            for row in _rows(gpu, f"GPU {i}" if many else "GPU", proc)
        ]


def _rows(gpu: NvmlGpu, name: str, proc: Path) -> list[Disturbance]:
    return [_others(gpu, name, proc), _clock(gpu, name), _persistence(gpu, name)]


def _others(gpu: NvmlGpu, name: str, proc: Path) -> Disturbance:
    what, found = f"{name}: other processes", gpu.processes
    if found is None:
        return Disturbance(what=what, found="not visible", matters="unknown")
    others = sorted(set(found) - {os.getpid()})
    if not others:
        return Disturbance(what=what, found="none", matters="ok")
    named = [f"{read_or_empty(proc / str(pid) / 'comm') or 'unknown'} ({pid})" for pid in others]
    return Disturbance(
        what=what,
        found=", ".join(named[:5]) + (f" and {len(named) - 5} more" if len(named) > 5 else ""),
        matters="disturbs",
        advice="wait for them or stop them; a context alone takes memory only",
    )


def _clock(gpu: NvmlGpu, name: str) -> Disturbance:
    what, reasons = f"{name}: clock", gpu.throttle
    if not reasons:
        return Disturbance(what=what, found="not held down", matters="ok")
    return Disturbance(
        what=what,
        found=f"held down: {', '.join(sorted(reasons))}",
        matters="may disturb" if reasons <= _CHOSEN else "disturbs",
        advice="see nvidia-smi -q -d CLOCK,POWER,TEMPERATURE for limits that were set, and cooling",
    )


def _persistence(gpu: NvmlGpu, name: str) -> Disturbance:
    what, on = f"{name}: persistence mode", gpu.persistent
    if on is None:
        return Disturbance(what=what, found="not visible", matters="unknown")
    if on:
        return Disturbance(what=what, found="on", matters="ok")
    return Disturbance(
        what=what,
        found="off: the driver is loaded anew for each first use",
        matters="may disturb",
        advice="sudo nvidia-smi -pm 1",
    )
