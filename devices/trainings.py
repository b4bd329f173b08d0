"""Trainings give way to measurements.

Each training holds the lock of a file of its own while it computes, in one folder beside the
measuring lock. Between two steps it looks at that lock; while a measurement holds it, the training
lets go of its file and waits. A measurement, once it holds the measuring lock, waits for the files.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from devices.lock_file import PLACE, open_lock, sign, signed_by
from fleetfit import SurroundingsError

__all__ = ["giving_way", "wait_for_trainings"]

_FOLDER: Final = "fleetfit-training"
_LOOK_EVERY_S: Final = 0.2
_LOOK_AGAIN_S: Final = 0.05

Say = Callable[[str], None]


@contextlib.contextmanager
def giving_way(who: str, *, say: Say, lock: Path | None = None) -> Iterator[Callable[[], float]]:
    """For long work on a machine that others measure on; yields what to call between its steps.

    The call looks at most every 0.2 s whether the machine is being measured, and if so waits until
    it is over and gives the seconds waited; so does the beginning of the block. ``who`` names the
    work to measurements, ``say`` gets one line when it waits and one when it goes on. Off Linux,
    and where the lock cannot be had, nothing is waited for.
    """
    turn = _Turn(f"{who} (process {os.getpid()})", say, lock or PLACE)
    try:
        turn()
        yield turn
    finally:
        turn.end()


def wait_for_trainings(lock: Path, timeout_s: float) -> None:
    """Until no other process trains here; for the holder of ``lock``, so that none begins a step.

    Raises SurroundingsError with the name of one that goes on for ``timeout_s``. One that is
    stopped (SIGSTOP, Ctrl-Z) is not waited for.
    """
    deadline = time.monotonic() + timeout_s
    while computing := _computing(lock):
        if time.monotonic() >= deadline:
            pid, who = computing[0]
            raise SurroundingsError(
                f"A measurement must have the machine to itself, but {who} has not come to the "
                f"end of a step in the {timeout_s:g} s waited; wait for its end, or stop it by "
                f"kill -STOP {pid} and let it go on later by kill -CONT {pid}."
            )
        time.sleep(_LOOK_AGAIN_S)


class _Turn:
    """The lock of a file of this process, held but for the time that a measurement takes."""

    def __init__(self, who: str, say: Say, lock: Path) -> None:
        self._who, self._say, self._lock = who, say, lock
        self._file: tuple[int, Path] | None = None
        self._next_look_s = 0.0

    def __call__(self) -> float:
        """Seconds waited."""
        now = time.monotonic()
        if now < self._next_look_s or not sys.platform.startswith("linux"):
            return 0.0
        self._next_look_s = now + _LOOK_EVERY_S
        try:
            # Opened each time: somebody may have cleaned up /tmp.
            handle = open_lock(self._lock)
        except SurroundingsError:
            return 0.0
        try:
            waited_s = self._wait(handle)
            self._hold()  # no measurement has begun: the measuring lock is shared until the close
        except OSError:  # a disk that is full or gone: training is more important
            return 0.0
        finally:
            os.close(handle)
        return waited_s

    def end(self) -> None:
        """Remove the file."""
        if self._file is not None:
            handle, path = self._file
            path.unlink(missing_ok=True)
            os.close(handle)
            self._file = None

    def _wait(self, handle: int) -> float:
        """Share the measuring lock, after the measurement that holds it."""
        import fcntl  # not there on Windows

        with contextlib.suppress(BlockingIOError):
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return 0.0
        begun = time.monotonic()
        if self._file is not None:
            fcntl.flock(self._file[0], fcntl.LOCK_UN)
        holder = signed_by(handle) or "another process"
        self._say(f"waiting: {holder} has the machine for a measurement")
        fcntl.flock(handle, fcntl.LOCK_SH)
        waited_s = time.monotonic() - begun
        self._say(f"going on after {waited_s:.1f} s")
        return waited_s

    def _hold(self) -> None:
        import fcntl

        if self._file is not None and not os.fstat(self._file[0]).st_nlink:
            os.close(self._file[0])
            self._file = None
        if self._file is None:
            self._file = _new_file(self._lock.with_name(_FOLDER))
            sign(self._file[0], self._who)
        fcntl.flock(self._file[0], fcntl.LOCK_EX)


def _new_file(folder: Path) -> tuple[int, Path]:
    with contextlib.suppress(FileExistsError):
        folder.mkdir()
        folder.chmod(0o1777)  # whatever the umask: other users train here too
    if folder.is_symlink():
        raise NotADirectoryError(str(folder))
    handle, name = tempfile.mkstemp(dir=folder, prefix=f"{os.getpid()}-")
    os.fchmod(handle, 0o644)  # enough to lock it
    return handle, Path(name)


def _computing(lock: Path) -> list[tuple[int, str]]:
    """(process id, name) of each training of another process that holds its file."""
    found = []
    with contextlib.suppress(OSError):  # no folder: nobody has ever trained here
        for path in sorted(lock.with_name(_FOLDER).iterdir()):
            pid = path.name.partition("-")[0]
            if not pid.isdecimal() or int(pid) == os.getpid():
                continue
            if (who := _holder(path, int(pid))) is not None and _state(int(pid)) not in "Tt":
                found.append((int(pid), who))
    return found


def _holder(path: Path, pid: int) -> str | None:
    """Who holds the file's lock; what a killed training left is removed."""
    import fcntl

    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:  # removed meanwhile
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return signed_by(handle) or f"process {pid}"
    else:
        if _state(pid) == "?":
            with contextlib.suppress(OSError):  # another user's
                path.unlink()
        return None
    finally:
        os.close(handle)


def _state(pid: int) -> str:
    """As in ``/proc/PID/stat``: R, S, T (stopped), ...; ? where there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return "?"
