"""How a user names a member of a space."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from fleetfit import Architecture, Head, InputError, loads
from fleetfit.files import read_text

if TYPE_CHECKING:
    from supernet.spaces import SearchSpace

__all__ = ["member_of"]


def member_of(text: str, space: SearchSpace) -> Architecture:
    """``largest``, ``smallest`` or the architecture of a JSON file, without its head.

    Raises InputError for one outside of the space.
    """
    if text in ("largest", "smallest"):
        return space.largest() if text == "largest" else space.smallest()
    if not Path(text).exists() and not Path(text).suffix:
        raise InputError(
            f"An architecture must be largest, smallest or a JSON file, but got {text!r}."
        )
    arch = loads(Architecture, read_text(Path(text), "An architecture")).with_head(Head())
    space.genome(arch)  # an InputError where it is not of this space
    return arch
