"""Tokenised text kept on disk, so that each text is tokenised once by each tokenizer.

A folder for each pair of them, named by the digests of both: ``index.json`` for people, and for
each shard its tokens, the ends of its documents and a record that is written last. A text is
tokenised shard by shard as far as it is needed; the next run goes on behind the last whole one.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import os
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from fleetfit.errors import SurroundingsError
from fleetfit.files import write_text
from supernet.corpora import Source
from supernet.shards import Shard, ShardRecord, load_shard, save_shard
from supernet.text import Encoder, TokenStream

__all__ = ["TokenCache", "cache_folder"]

Progress = Callable[[int, int, str], None]
_EVERY = 100  # pieces between two reports


def cache_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """$FLEETFIT_CACHE, else fleetfit/tokens in the user's cache folder as the XDG rules have it."""
    if given := environ.get("FLEETFIT_CACHE"):
        return Path(given)
    above = Path(environ.get("XDG_CACHE_HOME", ""))
    if not above.is_absolute():  # so say the XDG rules
        try:
            above = Path.home() / ".cache"
        except RuntimeError as exc:
            raise SurroundingsError(
                "A user must have a home folder to keep tokenised text in, but this one has none; "
                "set FLEETFIT_CACHE."
            ) from exc
    return above / "fleetfit" / "tokens"


class TokenCache:
    """Token streams of texts for one tokenizer; several processes may share the folder."""

    def __init__(self, folder: Path, tokenizer: Any, *, shard_tokens: int = 2**20) -> None:
        """``shard_tokens``: at most so many in a shard.

        Raises InputError where the tokenizer lacks [CLS] or [SEP].
        """
        import tokenizers

        self._folder, self._shard_tokens = folder, shard_tokens
        self._encoder = Encoder(tokenizer)
        told = f"{tokenizers.__version__} {tokenizer.to_str()}"
        self._tokenizer = hashlib.sha256(told.encode()).hexdigest()

    def stream(
        self,
        sources: Sequence[Source],
        *,
        limit: int | None = None,
        progress: Progress | None = None,
    ) -> TokenStream:
        """The documents of all sources, at most ``limit`` tokens.

        Shards behind the limit are not made; one that another process makes is waited for.
        ``progress`` is told how much of a source is read, of how much, and its name. A shard that
        is damaged is made again. Raises InputError where there is no token, SurroundingsError
        where the folder cannot be written, and what the sources raise; whole shards are kept.
        """
        parts, ends, total = [], [np.zeros(0, dtype=np.int64)], 0
        for source in sources:
            with contextlib.closing(self._shards(source, progress)) as shards:
                for shard in shards:
                    room = None if limit is None else limit - total
                    parts.append(shard.tokens[:room])
                    ends.append(shard.ends.astype(np.int64) + total)
                    total += len(parts[-1])
                    if total == limit:
                        break
            if total == limit:
                break
        known = np.concatenate(ends)
        return self._encoder.stream(parts, ends=np.append(known[known < total], total))

    def _shards(self, source: Source, progress: Progress | None) -> Generator[Shard, None, None]:
        like = ShardRecord(
            source=source.digest(), tokenizer=self._tokenizer, first=0, pieces=0, last=False
        )
        key = hashlib.sha256(f"{like.version} {like.source} {like.tokenizer}".encode()).hexdigest()
        folder = self._folder / key[:32]
        made: Iterator[Shard] | None = None
        with contextlib.ExitStack() as stack:
            alone = False
            for number in itertools.count():
                shard = load_shard(folder, number, like)
                if shard is None and not alone:
                    self._write_index(folder, source, like)
                    stack.enter_context(_locked(folder / ".lock"))
                    alone = True
                    shard = load_shard(folder, number, like)  # of another process meanwhile
                if shard is None:
                    made = made or self._tokenise(source, like, _Meter(source, progress))
                    shard = next(made)
                    save_shard(folder, number, shard)
                    shard = load_shard(folder, number, like) or shard  # mapped, not in memory
                else:
                    made = None
                yield shard
                if shard.record.last:
                    return
                like = replace(like, first=like.first + shard.record.pieces)

    def _write_index(self, folder: Path, source: Source, like: ShardRecord) -> None:
        """Tells a person what the folder is, and before the work whether it can be written."""
        about = {
            "version": like.version,
            "text": source.name,
            "text_digest": like.source,
            "tokenizer_digest": like.tokenizer,
            "dtype": self._encoder.dtype.name,
        }
        write_text(folder / "index.json", json.dumps(about, indent=1) + "\n")

    def _tokenise(self, source: Source, like: ShardRecord, meter: _Meter) -> Iterator[Shard]:
        """The shards from the piece ``like.first`` on."""
        dtype, first = self._encoder.dtype, like.first
        ids, ends, pieces = bytearray(), [0], 0

        def shard(*, last: bool) -> Shard:
            return Shard(
                record=replace(like, first=first, pieces=pieces, last=last),
                tokens=np.frombuffer(ids, dtype=dtype),
                ends=np.array(ends[1:], dtype=np.uint32),
            )

        texts = itertools.islice(source.read(meter), first, None)
        for text, found in self._encoder.encode(texts):
            held = len(ids) // dtype.itemsize
            if held and len(found) and held + len(found) > self._shard_tokens:
                yield shard(last=False)
                first, held = first + pieces, 0
                ids, ends, pieces = bytearray(), [0], 0
            ids += found.tobytes()
            pieces += 1
            if not text and held > ends[-1]:
                ends.append(held)
        yield shard(last=True)


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """The sole right to make shards, waited for: processes of one run do not all tokenise.

    Where there are no locks they do; that costs time and does no harm.
    """
    try:
        import fcntl  # not there on Windows
    except ImportError:
        yield
        return
    with path.open("w") as handle:
        with contextlib.suppress(OSError):  # some file systems have none
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


class _Meter:
    """Passes on some of many reports."""

    def __init__(self, source: Source, progress: Progress | None) -> None:
        self._source, self._progress, self._calls = source, progress, 0

    def __call__(self, done: int) -> None:
        self._calls += 1
        if self._progress is not None and self._calls % _EVERY == 1:
            self._progress(done, max(done, self._source.size), self._source.name)
