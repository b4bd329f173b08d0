"""The file whose lock says that the machine is being measured."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from fleetfit import SurroundingsError

__all__ = ["PLACE", "open_lock", "sign", "signed_by"]

PLACE = Path("/tmp/fleetfit-measuring.lock")
"""The same for everybody: TMPDIR differs between users and shells."""
_FLAGS = os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0)


def open_lock(path: Path) -> int:
    """A handle that can be locked; SurroundingsError where there is none to be had."""
    # First without O_CREAT: in a sticky directory Linux refuses it for another user's file.
    with contextlib.suppress(OSError):
        return os.open(path, os.O_RDWR | _FLAGS)
    with contextlib.suppress(FileNotFoundError, PermissionError, NotADirectoryError):
        if path.is_file() and not path.is_symlink():
            return os.open(path, os.O_RDONLY | _FLAGS)  # enough to lock it
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | _FLAGS, 0o666)
        with contextlib.suppress(PermissionError):
            os.fchmod(handle, 0o666)  # whatever the umask: other users measure here too
    except OSError as exc:
        raise SurroundingsError(
            f"The lock {path} must be writable, but the system says: {exc.strerror}; "
            "ask for write access to it: whoever measures on a machine shares one lock."
        ) from exc
    return handle


def sign(handle: int, name: str) -> None:
    """Leave the holder's name to others, where the file may be written to."""
    with contextlib.suppress(OSError):
        os.ftruncate(handle, 0)
        os.pwrite(handle, name.encode(), 0)


def signed_by(handle: int) -> str:
    """The name that was left, printable; empty where there is none."""
    text = os.pread(handle, 200, 0).decode(errors="replace")
    return "".join(c for c in text if c.isprintable())
