"""Processor time of the calling process: its threads, and children that it has waited for."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["OwnUse", "own_use"]


@dataclass(frozen=True, kw_only=True, slots=True)
class OwnUse:
    """Since the process began."""

    cpu_s: float
    """Of all threads, in user and kernel, and of children that have ended and were waited for."""
    switches: int
    """Times the kernel took the processor away from one of its threads."""


def own_use() -> OwnUse | None:
    """Of the calling process now; None where the system does not say (Windows)."""
    try:
        import resource  # not there on Windows
    except ImportError:
        return None
    own = resource.getrusage(resource.RUSAGE_SELF)
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = own.ru_utime + own.ru_stime + ended.ru_utime + ended.ru_stime
    return OwnUse(cpu_s=cpu_s, switches=own.ru_nivcsw)
