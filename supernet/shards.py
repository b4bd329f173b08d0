"""Tokens on disk: shards that are mapped into memory, and read as one array."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fleetfit.codec import dumps, loads
from fleetfit.errors import InputError
from fleetfit.files import sha256_of, write_bytes, write_text

__all__ = ["Ids", "Shard", "ShardRecord", "ShardedIds", "load_shard", "save_shard"]

Ids = npt.NDArray[np.uint16] | npt.NDArray[np.uint32]

_VERSION = 1  # 1: first


class ShardedIds:
    """Arrays of token ids end to end, as one array that can be indexed and sliced."""

    def __init__(self, parts: Sequence[Ids]) -> None:
        """``parts``: at least one, all of one dtype; they stay where they are."""
        self._parts = list(parts)
        self._starts = np.cumsum([0, *map(len, parts)])
        self.dtype: np.dtype[Any] = parts[0].dtype

    def __len__(self) -> int:
        """How many ids there are."""
        return int(self._starts[-1])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[Any]:
        """All of them in memory."""
        return np.concatenate(self._parts).astype(dtype or self.dtype, copy=False)

    def __getitem__(self, index: slice | npt.NDArray[np.int64]) -> npt.NDArray[Any]:
        """The ids at the places ``index``, in its shape."""
        if isinstance(index, slice):
            index = np.arange(*index.indices(len(self)))
        shard = np.searchsorted(self._starts, index, side="right") - 1
        found = np.empty(index.shape, dtype=self.dtype)
        for number in np.unique(shard):
            here = shard == number
            found[here] = self._parts[number][index[here] - self._starts[number]]
        return found


@dataclass(frozen=True, kw_only=True, slots=True)
class ShardRecord:
    """What is known of one shard; written last, so a shard that has it is whole."""

    source: str
    """Digest of the text it is from."""
    tokenizer: str
    """Digest of the tokenizer."""
    first: int
    """Pieces of the text before it; a later run goes on from here."""
    pieces: int
    """Pieces of the text in it."""
    last: bool
    """The text ends here."""
    tokens_sha256: str = ""
    ends_sha256: str = ""
    version: int = _VERSION

    def __post_init__(self) -> None:
        """The version is ours and counts are not negative."""
        if self.version != _VERSION or self.first < 0 or self.pieces < 0:
            raise InputError(f"A shard must be of version {_VERSION}, but is of {self.version}.")


@dataclass(frozen=True, kw_only=True, slots=True)
class Shard:
    """A stretch of a text as tokens."""

    record: ShardRecord
    tokens: Ids
    ends: npt.NDArray[np.uint32]
    """Where documents end in it: how many of its tokens are before, rising."""


def save_shard(folder: Path, number: int, shard: Shard) -> None:
    """Write one shard, its record last; raises SurroundingsError where the disk refuses.

    Two processes that write the same shard at once write the same.
    """
    tokens, ends = _bytes_of(shard.tokens), _bytes_of(shard.ends)
    record = replace(
        shard.record,
        tokens_sha256=hashlib.sha256(tokens).hexdigest(),
        ends_sha256=hashlib.sha256(ends).hexdigest(),
    )
    paths = _paths(folder, number)
    write_bytes(paths[0], tokens)
    write_bytes(paths[1], ends)
    write_text(paths[2], dumps(record) + "\n")


def load_shard(folder: Path, number: int, like: ShardRecord) -> Shard | None:
    """The shard, its tokens mapped into memory; None where it is not there, damaged or of others.

    ``like``: what its record must say of source, tokenizer and first piece.
    """
    tokens_path, ends_path, record_path = _paths(folder, number)
    try:
        record = loads(ShardRecord, record_path.read_text())
        known = (like.source, like.tokenizer, like.first)
        if (record.source, record.tokenizer, record.first) != known:
            return None
        found = (sha256_of(tokens_path), sha256_of(ends_path))
        if found != (record.tokens_sha256, record.ends_sha256):
            return None
        return Shard(
            record=record,
            tokens=np.load(tokens_path, mmap_mode="r", allow_pickle=False),
            ends=np.load(ends_path, allow_pickle=False),
        )
    except (OSError, ValueError):  # an InputError is a ValueError
        return None


def _bytes_of(array: npt.NDArray[Any]) -> bytes:
    file = io.BytesIO()
    np.save(file, array, allow_pickle=False)
    return file.getvalue()


def _paths(folder: Path, number: int) -> tuple[Path, Path, Path]:
    names = (f"{number:05}.tokens.npy", f"{number:05}.ends.npy", f"{number:05}.json")
    return folder / names[0], folder / names[1], folder / names[2]
