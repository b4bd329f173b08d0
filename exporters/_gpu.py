"""What the description of a machine says about its GPU."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Mapping

from exporters._cuda import first_gpu
from fleetfit import DeviceInfo, Precision, RuntimeMissing, SurroundingsError, Target

__all__ = ["able", "capability_of"]


def capability_of(device: DeviceInfo) -> tuple[int, int] | None:
    """CUDA's compute capability of the GPU that is used; None without one, or where not known.

    None, too, where CUDA is shown none (CUDA_VISIBLE_DEVICES). Where GPUs differ, CUDA is asked
    which one that is.
    """
    if os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):  # NVML sees them all the same
        return None
    told = [re.search(r"compute capability (\d+)\.(\d+)", gpu) for gpu in device.gpus]
    found = {(int(one[1]), int(one[2])) if one else None for one in told}
    if len(found) < 2:
        return next(iter(found), None)
    try:
        return first_gpu().capability
    except (RuntimeMissing, SurroundingsError):
        return None


def able(
    device: DeviceInfo, target: Target, needs: Mapping[Precision, tuple[int, int]]
) -> tuple[Target, ...]:
    """``target`` in each precision whose least compute capability the GPU has; none without one."""
    found = capability_of(device)
    if found is None:
        return ()
    return tuple(
        dataclasses.replace(target, precision=precision)
        for precision, least in needs.items()
        if found >= least
    )
