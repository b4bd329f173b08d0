"""OpenVINO's module and its one core."""

from __future__ import annotations

import functools
import sys
from typing import Any

from fleetfit import RuntimeMissing

__all__ = ["ov_core", "ov_library"]


@functools.cache
def ov_core() -> Any:
    """The core, which holds the plug-ins; raises RuntimeMissing."""
    return ov_library().Core()


def ov_library() -> Any:
    """The module; raises RuntimeMissing."""
    # Its telemetry would call home and write to the home directory; OpenVINO goes without it where
    # that package cannot be imported.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    try:
        import openvino
    except ImportError as exc:
        raise RuntimeMissing(
            "OpenVINO must be installed for this target, but it is not: "
            "pip install 'fleetfit[openvino]'."
        ) from exc
    return openvino
