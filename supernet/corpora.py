"""Where text comes from: files here, and public corpora by name through ``datasets``."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from fleetfit.errors import FleetfitError, InputError, SurroundingsError
from fleetfit.files import sha256_of
from supernet.documents import pieces, read_documents

__all__ = ["PublicCorpus", "Seen", "Source", "TextFile"]

Seen = Callable[[int], None]


class Source(Protocol):
    """A text that can be read again to the same pieces."""

    @property
    def name(self) -> str:
        """What a person knows it by."""

    @property
    def size(self) -> int:
        """What ``seen`` is told at the end; 0 where nobody knows."""

    def digest(self) -> str:
        """Another for every other text; raises InputError or SurroundingsError."""

    def read(self, seen: Seen) -> Iterator[str]:
        """The pieces of all documents, "" at the end of each; ``seen`` is told how far it is.

        Raises InputError or SurroundingsError.
        """


@dataclass(frozen=True, kw_only=True, slots=True)
class TextFile:
    """A UTF-8 text file, plain, .xz or .gz; blank lines divide its documents."""

    path: Path

    @property
    def name(self) -> str:
        """Its file name."""
        return self.path.name

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return self.path.stat().st_size

    def digest(self) -> str:
        """SHA-256 of the file, and how it is packed."""
        if not self.path.is_file():
            raise InputError(
                f"{self.path} must be an existing text file, but it is not there or not a file."
            )
        packing = self.path.suffix if self.path.suffix in (".xz", ".gz") else ""
        try:
            return f"file{packing}-{sha256_of(self.path)}"
        except OSError as exc:
            raise InputError(f"{self.path} must be readable, but is not: {exc.strerror}.") from exc

    def read(self, seen: Seen) -> Iterator[str]:
        """Its pieces; ``seen`` is told bytes of the file."""
        return read_documents(self.path, seen)


@dataclass(frozen=True, kw_only=True, slots=True)
class PublicCorpus:
    """A corpus that ``datasets`` can stream by name: one on the Hub, or a folder of data files."""

    name: str
    config: str | None = None
    split: str = "train"
    column: str = "text"
    """Holds the text; each row is a document."""

    @classmethod
    def parse(cls, text: str, *, column: str = "text") -> PublicCorpus:
        """From NAME, NAME:CONFIG, NAME:CONFIG:SPLIT or NAME::SPLIT."""
        name, config, split = (*text.split(":", maxsplit=2), "", "")[:3]
        if not name or ":" in split:
            raise InputError(
                "A corpus must read NAME, NAME:CONFIG or NAME:CONFIG:SPLIT, as in "
                f"wikimedia/wikipedia:20231101.en:train, but got {text!r}."
            )
        return cls(name=name, config=config or None, split=split or "train", column=column)

    @property
    def size(self) -> int:
        """Not known before it is read."""
        return 0

    def digest(self) -> str:
        """SHA-256 over names and the revision of every data file."""
        with self._translated():
            builder = self._builder()
            data = builder.config.data_files or {}
            files = [
                (str(split), list(map(str, paths)), getattr(paths, "origin_metadata", None))
                for split, paths in sorted(data.items())
            ]
        parts = (self.name, builder.config.name, self.split, self.column, files, builder.hash)
        return f"corpus-{hashlib.sha256(repr(parts).encode()).hexdigest()}"

    def read(self, seen: Seen) -> Iterator[str]:
        """Its pieces; ``seen`` is told rows."""
        with self._translated():
            rows = self._builder().as_streaming_dataset(split=self.split)
            for number, row in enumerate(rows, start=1):
                yield from pieces(self._text(row))
                yield ""
                seen(number)

    def _text(self, row: dict[str, Any]) -> str:
        text = row.get(self.column, 0)
        if text is not None and not isinstance(text, str):
            raise InputError(
                f"The column {self.column!r} of {self.name} must hold text, but its columns are "
                f"{', '.join(f'{k} ({type(v).__name__})' for k, v in row.items())}; name another."
            )
        return text or ""

    def _builder(self) -> Any:
        try:
            import datasets
        except ImportError as exc:
            raise SurroundingsError(
                f"datasets must be installed to read the corpus {self.name}, but is not: "
                "pip install 'fleetfit[corpora]'."
            ) from exc
        for name in ("datasets", "huggingface_hub"):  # retries of a dead network, line by line
            logging.getLogger(name).setLevel(logging.CRITICAL)
        return datasets.load_dataset_builder(self.name, self.config)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Errors of ``datasets`` as ours: unknown names are input, all else the surroundings."""
        try:
            yield
        except FleetfitError:
            raise
        except (ValueError, RuntimeError, FileNotFoundError) as exc:
            raise InputError(
                f"A corpus must be one that datasets can stream, but for {self.name} it says: "
                f"{_sentence(exc)}; check name, config and split."
            ) from exc
        except Exception as exc:  # of whatever carries the data: sockets, HTTP, file systems
            raise SurroundingsError(
                f"The corpus {self.name} must be reachable, but is not: {_sentence(exc)}; check "
                "the network or give text of this machine, what was read is kept."
            ) from exc


def _sentence(exc: Exception) -> str:
    lines = str(exc).strip().splitlines() or [type(exc).__name__]
    return lines[0].rstrip(".")
