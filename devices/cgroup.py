"""Limits of the control groups this process runs in, version 1 and 2."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

__all__ = ["cpu_quota", "memory_limit"]

# Version 1 writes "no limit" as the largest page-aligned number.
_NO_LIMIT = 2**60


def cpu_quota(proc: Path, sys_root: Path) -> float | None:
    """Cores' worth of processor time granted, the least on the way to the root; None: no limit."""
    quotas = []
    for folder in _folders(proc, sys_root, ""):
        parts = _read(folder / "cpu.max").split()
        if len(parts) == 2 and parts[0].isdigit():
            quotas.append(int(parts[0]) / int(parts[1]))
    for folder in _folders(proc, sys_root, "cpu"):
        quota = _read(folder / "cpu.cfs_quota_us")
        period = _read(folder / "cpu.cfs_period_us")
        if quota.isdigit() and period.isdigit() and int(period):
            quotas.append(int(quota) / int(period))
    return min(quotas, default=None)


def memory_limit(proc: Path, sys_root: Path) -> int | None:
    """Memory limit in bytes, the least on the way to the root; None: no limit."""
    texts = [_read(folder / "memory.max") for folder in _folders(proc, sys_root, "")]
    folders = _folders(proc, sys_root, "memory")
    texts += [_read(folder / "memory.limit_in_bytes") for folder in folders]
    limits = [int(text) for text in texts if text.isdigit()]
    return min((limit for limit in limits if limit < _NO_LIMIT), default=None)


def _folders(proc: Path, sys_root: Path, controller: str) -> Iterator[Path]:
    """The group of this process and its ancestors, where the controller is mounted.

    In a container the named path may not exist below the mount; the mount itself is the group then.
    """
    root = sys_root / "fs" / "cgroup" / controller
    for line in _read(proc / "self" / "cgroup").splitlines():
        fields = line.split(":", 2)
        if len(fields) != 3 or controller not in fields[1].split(","):
            continue
        inside = Path(fields[2].lstrip("/"))
        for relative in (inside, *inside.parents):
            if ".." not in relative.parts and (root / relative).is_dir():
                yield root / relative


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
