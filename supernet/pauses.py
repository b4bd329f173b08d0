"""What a training calls between two steps, so that others may have the machine for a while."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["Pause", "no_pause"]

Pause = Callable[[], float]
"""Waits as long as it must; gives the seconds waited."""


def no_pause() -> float:
    """For a training that gives way to nobody."""
    return 0.0
