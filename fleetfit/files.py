"""Files are written whole or not at all: to a temporary name, flushed, then renamed."""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from fleetfit.errors import InputError, SurroundingsError

__all__ = ["check_new", "new_directory", "read_text", "sha256_of", "write_bytes", "write_text"]


def write_bytes(path: Path, data: bytes, *, flush: bool = True) -> None:
    """Write ``data`` to ``path`` atomically; raises SurroundingsError where the disk refuses.

    Without ``flush`` it is whole after a crash of the process, but not after one of the machine:
    for files that end with the process anyway.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as exc:
        raise _refused(path, exc) from exc
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            if flush:
                os.fsync(file.fileno())
        mask = os.umask(0)
        os.umask(mask)
        Path(name).chmod(0o666 & ~mask)
        Path(name).replace(path)
    except OSError as exc:
        raise _refused(path, exc) from exc
    finally:
        Path(name).unlink(missing_ok=True)


def write_text(path: Path, text: str, *, flush: bool = True) -> None:
    """Write UTF-8 ``text`` to ``path`` as ``write_bytes`` does."""
    write_bytes(path, text.encode(), flush=flush)


def check_new(path: Path) -> None:
    """Raise InputError unless ``path`` can become a new directory: call it before the work.

    It may exist as an empty plain directory, if a rename can replace that.
    """
    try:
        taken = _taken(path)
        above = next(parent for parent in path.absolute().parents if parent.exists())
    except OSError as exc:  # a folder on the way that must not be looked into
        raise _refused(path, exc) from exc
    if taken is not None:
        raise InputError(
            f"{path} must be a new or empty directory, but is {taken}; choose another."
        )
    if not above.is_dir():
        raise InputError(f"{path} must be a new directory, but {above} is a file.")
    if not os.access(above, os.W_OK | os.X_OK):
        raise InputError(f"{path} must be a new directory, but {above} is not writable.")


def _taken(path: Path) -> str | None:
    """Why no rename can replace it; None where one can."""
    if path.is_symlink():
        return "a link"
    if not path.exists():
        return None
    if not path.is_dir():
        return "a file"
    if path.samefile(Path.cwd()):
        return "the current one"
    if path.is_mount():
        return "a mount point"
    return "not empty" if any(path.iterdir()) else None


@contextlib.contextmanager
def new_directory(path: Path) -> Iterator[Path]:
    """A temporary directory that takes the name ``path`` when the block ends well.

    ``path`` must not exist or be an empty directory; on an error nothing is left behind.
    """
    check_new(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        holder = tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.")
    except OSError as exc:
        raise _refused(path, exc) from exc
    with holder as name:
        inside = Path(name) / "new"
        try:
            inside.mkdir()
            yield inside
            inside.replace(path)
        except OSError as exc:
            raise _refused(path, exc) from exc


def read_text(path: Path, what: str) -> str:
    """The UTF-8 text of a file; ``what`` names it in the error."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as exc:
        raise InputError(f"{what} must be an existing file, but {path} is not there.") from exc
    except UnicodeDecodeError as exc:
        raise InputError(f"{what} must be UTF-8 text, but {path} is not.") from exc
    except OSError as exc:
        raise InputError(f"{what} must be readable, but {path} is not: {exc.strerror}.") from exc


def sha256_of(path: Path) -> str:
    """Hexadecimal SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _refused(path: Path, exc: OSError) -> SurroundingsError:
    reason = exc.strerror or str(exc)
    return SurroundingsError(
        f"{path} must be writable, but the system says: {reason}; free space or choose another "
        "place, nothing earlier was touched."
    )
