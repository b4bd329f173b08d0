"""Which processes use the processor."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from devices.pseudo_files import numbered, read_or_empty

__all__ = ["Used", "busiest", "cpu_times", "parse_process"]

_TICK_S: Final = 0.01
_LEAST: Final = 0.02  # cores; less is not worth a name


@dataclass(frozen=True, kw_only=True, slots=True)
class Used:
    """Processor time of one process since it began."""

    name: str
    cpu_s: float


def cpu_times(proc: Path) -> dict[int, Used]:
    """Of every process that can be seen but this one."""
    found = {pid: parse_process(read_or_empty(p / "stat")) for pid, p in numbered(proc)}
    return {pid: used for pid, used in found.items() if used and pid != os.getpid()}


def busiest(
    before: Mapping[int, Used], now: Mapping[int, Used], elapsed_s: float
) -> list[tuple[str, int, float]]:
    """(name, process id, cores' worth of time) between two readings, most first; at most three."""
    shares = []
    for pid, used in now.items():
        begun = before.get(pid)
        # A process id is given again: then what it used before was another's.
        earlier_s = begun.cpu_s if begun and begun.cpu_s <= used.cpu_s else 0.0
        shares.append((used.name, pid, (used.cpu_s - earlier_s) / max(elapsed_s, 1e-9)))
    shares.sort(key=lambda one: -one[2])
    return [one for one in shares[:3] if one[2] >= _LEAST]


def parse_process(stat: str) -> Used | None:
    """Name and processor time in ``/proc/PID/stat``; None where it is not of that form."""
    before, found, rest = stat.rpartition(")")
    fields = rest.split()
    if not found or len(fields) < 13 or not (fields[11] + fields[12]).isdecimal():
        return None
    name = "".join(c for c in before.partition("(")[2] if c.isprintable())
    return Used(name=name, cpu_s=(int(fields[11]) + int(fields[12])) * _TICK_S)
