"""What the description of a machine says about its GPU."""

from __future__ import annotations

import re

from fleetfit import DeviceInfo

__all__ = ["capability_of"]


def capability_of(device: DeviceInfo) -> tuple[int, int] | None:
    """CUDA's compute capability of the first GPU; None without one."""
    for gpu in device.gpus[:1]:
        found = re.search(r"compute capability (\d+)\.(\d+)", gpu)
        if found:
            return int(found[1]), int(found[2])
    return None
