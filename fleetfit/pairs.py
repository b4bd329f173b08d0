"""How two texts share the room of one row: the same for training and for a bundle."""

from __future__ import annotations

__all__ = ["cut_pair"]


def cut_pair(first: int, second: int, room: int) -> tuple[int, int]:
    """How many tokens of two texts of ``first`` and ``second`` tokens stay in ``room``.

    As if the longer lost its last token until both fit, the second where they are equally long.
    """
    if first + second <= room:
        return first, second
    half = (room + 1) // 2
    if first <= half:
        return first, room - first
    if second <= room - half:
        return room - second, second
    return half, room - half
