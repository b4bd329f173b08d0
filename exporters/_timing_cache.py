"""Times of kernels that TensorRT has measured, kept for the next build on the same GPU.

A cache fits one version of TensorRT and one GPU, so both are in the name of its file. TensorRT
reads it, so it lies in the user's own cache directory; one that others write to must be trusted.
"""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path

from exporters._cuda import Gpu
from fleetfit import SurroundingsError
from fleetfit.files import write_bytes

__all__ = ["TimingCache"]


class TimingCache:
    """One file; builds go on without it where it cannot be read or written."""

    def __init__(self, directory: Path | None, version: str, gpu: Gpu) -> None:
        """``directory``: by default ``fleetfit`` in XDG_CACHE_HOME or ``~/.cache``, else none."""
        place = directory or _folder()
        name = re.sub(r"[^A-Za-z0-9]+", "-", f"{gpu.name} sm{gpu.capability[0]}{gpu.capability[1]}")
        file = f"tensorrt-{version}-{name.lower()}.timing"
        self.path = None if place is None else place / file

    def read(self) -> bytes:
        """What is there; nothing where there is none."""
        try:
            return b"" if self.path is None else self.path.read_bytes()
        except OSError:
            return b""

    def write(self, data: bytes) -> None:
        """Put it in the place of what was there, whole or not at all."""
        if self.path is None:
            return
        with contextlib.suppress(SurroundingsError, OSError):
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_bytes(self.path, data, flush=False)


def _folder() -> Path | None:
    """Of the user; None where there is no home."""
    named = Path(os.environ.get("XDG_CACHE_HOME", ""))
    try:
        return (named if named.is_absolute() else Path.home() / ".cache") / "fleetfit"
    except RuntimeError:
        return None
