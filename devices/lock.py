"""One measurement at a time per machine, and the scratch directory that belongs to it."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from devices.describe import require_linux
from devices.lock_file import PLACE, open_lock, sign, signed_by
from devices.trainings import wait_for_trainings
from fleetfit import SurroundingsError

__all__ = ["machine_lock", "scratch_directory"]

_LOOK_AGAIN_S: Final = 0.1


@contextlib.contextmanager
def machine_lock(who: str, *, timeout_s: float = 60.0, path: Path | None = None) -> Iterator[Path]:
    """Hold the machine's measuring lock for the block; yields the lock's path.

    ``who`` names the holder to others. Waits up to ``timeout_s`` for another holder, then as long
    for the trainings of other processes to come to the end of a step, where they wait; raises
    SurroundingsError with the name of who does not. The lock ends with its process, however that
    ends.
    """
    require_linux("Measurements")
    path = path or PLACE
    handle = _acquired(path, timeout_s)
    try:
        sign(handle, f"{who} (process {os.getpid()})")
        wait_for_trainings(path, timeout_s)
        yield path
        sign(handle, "")
    finally:
        os.close(handle)


@contextlib.contextmanager
def scratch_directory(lock: Path) -> Iterator[Path]:
    """A directory below TMPDIR for big files, removed at the end.

    Must be used by the holder of ``lock``: what an earlier holder left behind there when it was
    killed is removed first.
    """
    above, prefix = Path(tempfile.gettempdir()), f"{lock.name}-"
    for left in above.glob(f"{prefix}*"):
        if left.is_dir() and not left.is_symlink() and left.stat().st_uid == os.getuid():
            shutil.rmtree(left, ignore_errors=True)
    try:
        holder = tempfile.TemporaryDirectory(dir=above, prefix=prefix, ignore_cleanup_errors=True)
    except OSError as exc:
        raise SurroundingsError(
            f"{above} must be writable, but the system says: {exc.strerror}; "
            "free space or set TMPDIR to another place."
        ) from exc
    with holder as name:
        yield Path(name)


def _acquired(path: Path, timeout_s: float) -> int:
    """A handle of the file that is at ``path`` now, locked."""
    deadline = time.monotonic() + timeout_s
    while True:
        handle = open_lock(path)
        try:
            _acquire(handle, path, deadline, timeout_s)
            if os.fstat(handle).st_nlink:  # else somebody has cleaned up /tmp meanwhile
                return handle
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)


def _acquire(handle: int, path: Path, deadline: float, timeout_s: float) -> None:
    import fcntl  # not there on Windows

    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() >= deadline:
                holder = signed_by(handle) or "another process"
                raise SurroundingsError(
                    f"One measurement at a time must hold on a machine, but {holder} has been "
                    f"measuring for the {timeout_s:g} s waited; wait for it or stop it "
                    f"(lock: {path})."
                ) from None
        time.sleep(_LOOK_AGAIN_S)
