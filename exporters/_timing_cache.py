"""Times of kernels that TensorRT has measured, kept for the next build on the same GPU.

A cache fits one version of TensorRT and one GPU, so both are in the name of its file.
"""

from __future__ import annotations

import contextlib
import re
import tempfile
from pathlib import Path

from exporters._cuda import Gpu
from fleetfit import SurroundingsError
from fleetfit.files import write_bytes

__all__ = ["TimingCache"]


class TimingCache:
    """One file; builds go on without it where it cannot be read or written."""

    def __init__(self, directory: Path | None, version: str, gpu: Gpu) -> None:
        """``directory``: by default ``~/.cache/fleetfit``."""
        place = directory or _folder()
        name = re.sub(r"[^A-Za-z0-9]+", "-", f"{gpu.name} sm{gpu.capability[0]}{gpu.capability[1]}")
        self.path = place / f"tensorrt-{version}-{name.lower()}.timing"

    def read(self) -> bytes:
        """What is there; nothing where there is none."""
        try:
            return self.path.read_bytes()
        except OSError:
            return b""

    def write(self, data: bytes) -> None:
        """Put it in the place of what was there, whole or not at all."""
        with contextlib.suppress(SurroundingsError):
            write_bytes(self.path, data, flush=False)


def _folder() -> Path:
    """Of the user; where there is no home, what is temporary."""
    try:
        return Path.home() / ".cache" / "fleetfit"
    except RuntimeError:
        return Path(tempfile.gettempdir()) / "fleetfit"
