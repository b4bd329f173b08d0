"""Text files as documents, in pieces short enough to be tokenised one by one."""

from __future__ import annotations

import gzip
import io
import lzma
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from fleetfit.errors import InputError

__all__ = ["open_text", "pieces", "read_documents"]

_LONGEST = 2**16  # characters of a piece, but for a word that is longer


@contextmanager
def open_text(path: Path) -> Iterator[tuple[io.TextIOWrapper, Callable[[], int]]]:
    """A plain, .xz or .gz file as UTF-8, and a function for the bytes read of the file itself.

    Raises InputError where it is not there or, in the block, where it turns out to be no text.
    """
    try:
        with path.open("rb") as raw:
            unpacked = _unpacked(raw, path.suffix)
            with io.TextIOWrapper(unpacked, encoding="utf-8", newline="\n") as file:
                yield file, raw.tell
    except FileNotFoundError as exc:
        raise InputError(f"{path} must be an existing text file, but it is not there.") from exc
    except (UnicodeDecodeError, EOFError, lzma.LZMAError, zlib.error, OSError) as exc:
        raise InputError(f"{path} must be UTF-8 text, plain, .xz or .gz, but: {exc}.") from exc


def _unpacked(raw: IO[bytes], suffix: str) -> Any:
    if suffix == ".xz":
        return lzma.LZMAFile(raw)
    return gzip.GzipFile(fileobj=raw) if suffix == ".gz" else raw


def read_documents(path: Path, seen: Callable[[int], None] | None = None) -> Iterator[str]:
    """The pieces of all documents of a text file; "" ends a document.

    Documents are divided by blank lines; a piece is a line, or a part of a very long one.
    ``seen`` is told the bytes of the file read so far. Raises InputError where it is no text.
    """
    with open_text(path) as (file, position):
        for piece in _split(file):
            if "\0" in piece:
                raise InputError(f"{path} must be text, but it holds zero bytes; is it binary?")
            if seen is not None:
                seen(position())
            yield piece
    yield ""


def pieces(text: str) -> Iterator[str]:
    """The lines of ``text`` that are not blank, very long ones in parts."""
    return filter(None, _split(io.StringIO(text)))


def _split(file: IO[str]) -> Iterator[str]:
    """Lines without surrounding space; a long one is cut at a space, where it has any."""
    rest, begins = "", True
    while part := file.readline(_LONGEST):
        goes_on = len(part) == _LONGEST and not part.endswith("\n")
        line, rest = _cut(rest + part) if goes_on else (rest + part, "")
        piece = line.strip()
        if piece or (begins and not goes_on):
            yield piece
        begins = not goes_on
    if rest.strip():
        yield rest.strip()


def _cut(line: str) -> tuple[str, str]:
    at = max(line.rfind(" "), line.rfind("\t"))
    return (line[:at], line[at:]) if at > 0 else (line, "")
