"""Memory of this process: peak resident set and proportional set, from /proc.

``ru_maxrss`` is never used: it is inherited across fork and exec, so a child of a large parent
reports the parent's peak. VmHWM starts anew at exec.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fleetfit import SurroundingsError

__all__ = ["MemoryReading", "parse_kib", "read_memory", "reset_peak"]

_SELF: Final = Path("/proc/self")


@dataclass(frozen=True, kw_only=True, slots=True)
class MemoryReading:
    """Bytes of this process at one moment."""

    peak_bytes: int
    """Peak resident set (VmHWM) since exec or the last reset."""
    resident_bytes: int
    proportional_bytes: int | None
    """Resident set with shared pages divided among their users (PSS); None where not given."""


def read_memory(*, folder: Path = _SELF) -> MemoryReading:
    """Read this process; raises SurroundingsError where /proc does not give the peak."""
    status = _text(folder / "status")
    peak, resident = parse_kib(status, "VmHWM"), parse_kib(status, "VmRSS")
    if peak is None or resident is None:
        raise SurroundingsError(
            f"Memory must be measured where {folder}/status has VmHWM (Linux), but it has not; "
            "use a Linux machine or leave memory out."
        )
    proportional = parse_kib(_text(folder / "smaps_rollup"), "Pss")
    return MemoryReading(peak_bytes=peak, resident_bytes=resident, proportional_bytes=proportional)


def reset_peak(*, folder: Path = _SELF) -> bool:
    """Set VmHWM to the current resident set; False where the system does not allow it."""
    try:
        (folder / "clear_refs").write_text("5")
    except OSError:
        return False
    return True


def parse_kib(text: str, name: str) -> int | None:
    """Bytes of the line ``name: 123 kB``; None where there is no such line."""
    for line in text.splitlines():
        words = line.split()
        if len(words) == 3 and words[0] == f"{name}:" and words[1].isdigit():
            return int(words[1]) * 1024
    return None


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
