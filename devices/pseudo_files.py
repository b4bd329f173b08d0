"""Files of /proc and /sys: any may be missing, locked or odd."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

__all__ = ["entries_of", "numbered", "read_number", "read_or_empty"]


def read_or_empty(path: Path) -> str:
    """The text without space around it; empty where it cannot be read."""
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""


def read_number(path: Path) -> int | None:
    """A whole number, None where there is none."""
    try:
        return int(read_or_empty(path))
    except ValueError:
        return None


def entries_of(folder: Path) -> list[Path]:
    """What is in a folder, sorted; nothing where it cannot be read."""
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def numbered(folder: Path, prefix: str = "") -> Iterator[tuple[int, Path]]:
    """Entries named by a prefix and a number, as in ``cpu0`` or a process id, by that number."""
    names = [(p.name.removeprefix(prefix), p) for p in entries_of(folder)]
    found = [(int(rest), p) for rest, p in names if rest.isdecimal() and p.name == prefix + rest]
    yield from sorted(found)
