"""Limits of the control groups this process runs in, version 1 and 2."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from devices.pseudo_files import read_or_empty

__all__ = ["cpu_quota", "memory_limit", "throttled_periods"]

# Version 1 writes "no limit" as the largest page-aligned number.
_NO_LIMIT = 2**60


def cpu_quota(proc: Path, sys_root: Path) -> float | None:
    """Cores' worth of processor time granted, the least on the way to the root; None: no limit."""
    quotas = []
    for folder in _folders(proc, sys_root, ""):
        parts = read_or_empty(folder / "cpu.max").split()
        if len(parts) == 2 and parts[0].isdigit():
            quotas.append(int(parts[0]) / int(parts[1]))
    for folder in _folders(proc, sys_root, "cpu"):
        quota = read_or_empty(folder / "cpu.cfs_quota_us")
        period = read_or_empty(folder / "cpu.cfs_period_us")
        if quota.isdigit() and period.isdigit() and int(period):
            quotas.append(int(quota) / int(period))
    return min(quotas, default=None)


def throttled_periods(proc: Path, sys_root: Path) -> int | None:
    """How often a group of this process has used up its quota since it began; None: not told."""
    folders = [*_folders(proc, sys_root, ""), *_folders(proc, sys_root, "cpu")]
    words = [
        line.split()
        for folder in folders
        for line in read_or_empty(folder / "cpu.stat").splitlines()
    ]
    counts = [int(w[1]) for w in words if len(w) == 2 and w[0] == "nr_throttled"]
    return sum(counts) if counts else None


def memory_limit(proc: Path, sys_root: Path) -> int | None:
    """Memory limit in bytes, the least on the way to the root; None: no limit."""
    texts = [read_or_empty(folder / "memory.max") for folder in _folders(proc, sys_root, "")]
    folders = _folders(proc, sys_root, "memory")
    texts += [read_or_empty(folder / "memory.limit_in_bytes") for folder in folders]
    limits = [int(text) for text in texts if text.isdigit()]
    return min((limit for limit in limits if limit < _NO_LIMIT), default=None)


def _folders(proc: Path, sys_root: Path, controller: str) -> Iterator[Path]:
    """The group of this process and its ancestors, where the controller is mounted.

    In a container the named path may not exist below the mount; the mount itself is the group then.
    """
    root = sys_root / "fs" / "cgroup" / controller
    for line in read_or_empty(proc / "self" / "cgroup").splitlines():
        fields = line.split(":", 2)
        if len(fields) != 3 or controller not in fields[1].split(","):
            continue
        inside = Path(fields[2].lstrip("/"))
        for relative in (inside, *inside.parents):
            if ".." not in relative.parts and (root / relative).is_dir():
                yield root / relative
