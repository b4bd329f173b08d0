"""What the description of a machine says about its GPU."""

from __future__ import annotations

import re

from exporters._cuda import first_gpu
from fleetfit import DeviceInfo, RuntimeMissing, SurroundingsError

__all__ = ["capability_of"]


def capability_of(device: DeviceInfo) -> tuple[int, int] | None:
    """CUDA's compute capability of the GPU that is used; None without one, or where not known.

    Where GPUs differ, CUDA is asked which one that is.
    """
    told = [re.search(r"compute capability (\d+)\.(\d+)", gpu) for gpu in device.gpus]
    found = {(int(one[1]), int(one[2])) if one else None for one in told}
    if len(found) < 2:
        return next(iter(found), None)
    try:
        return first_gpu().capability
    except (RuntimeMissing, SurroundingsError):
        return None
