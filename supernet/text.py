"""Text from plain, .xz or .gz files, and its tokens as one flat stream."""

from __future__ import annotations

import gzip
import lzma
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from fleetfit.errors import InputError

__all__ = ["TokenStream", "ids_of", "read_lines", "read_tokens", "restore_wikitext"]

_WIKITEXT_MARKS = ((" @-@ ", "-"), (" @,@ ", ","), (" @.@ ", "."), ("<unk>", "[UNK]"))


def read_lines(path: Path) -> Iterator[str]:
    """The lines of a UTF-8 text file that are not blank; raises InputError for any other file."""
    try:
        with _open(path) as file:
            for raw in file:
                if b"\0" in raw:
                    raise InputError(f"{path} must be text, but it holds zero bytes; is it binary?")
                line = raw.decode().strip()
                if line:
                    yield line
    except FileNotFoundError as exc:
        raise InputError(f"{path} must be an existing text file, but it is not there.") from exc
    except (UnicodeDecodeError, EOFError, lzma.LZMAError, zlib.error, OSError) as exc:
        raise InputError(f"{path} must be UTF-8 text, plain, .xz or .gz, but: {exc}.") from exc


def _open(path: Path) -> IO[bytes] | gzip.GzipFile:
    if path.suffix == ".xz":
        return lzma.open(path)
    if path.suffix == ".gz":
        return gzip.open(path)
    return path.open("rb")


def restore_wikitext(lines: Iterable[str]) -> Iterator[str]:
    """WikiText lines with its escapes undone and ``<unk>`` as [UNK]; headings are left out."""
    for line in lines:
        if not line.startswith("= "):
            for mark, text in _WIKITEXT_MARKS:
                line = line.replace(mark, text)
            yield line


Ids = npt.NDArray[np.uint16] | npt.NDArray[np.uint32]


@dataclass(frozen=True, kw_only=True)
class TokenStream:
    """Body tokens of a text end to end, cut into windows of [CLS] body [SEP]."""

    tokens: Ids
    """16 bits each, or 32 where the vocabulary needs them."""
    cls_id: int
    sep_id: int

    def windows(self, seq_len: int) -> int:
        """How many windows of ``seq_len`` tokens there are."""
        if seq_len < 3:
            raise InputError(f"A window must have at least 3 tokens, but got {seq_len}.")
        return len(self.tokens) // (seq_len - 2)

    def batch(self, rows: Sequence[int] | npt.NDArray[np.int64], seq_len: int) -> npt.NDArray[Any]:
        """The windows ``rows``, int64, rows x seq_len."""
        body = seq_len - 2
        starts = np.asarray(rows, dtype=np.int64)[:, None] * body
        ids = np.empty((len(starts), seq_len), dtype=np.int64)
        ids[:, 0], ids[:, -1] = self.cls_id, self.sep_id
        ids[:, 1:-1] = self.tokens[starts + np.arange(body)]
        return ids


def ids_of(tokenizer: Any) -> int:
    """How many ids a ``tokenizers.Tokenizer`` needs: its largest and one."""
    return 1 + max(tokenizer.get_vocab().values(), default=-1)


def read_tokens(lines: Iterable[str], tokenizer: Any, *, limit: int | None = None) -> TokenStream:
    """Tokenise ``lines``, up to ``limit`` tokens; raises InputError where there are none.

    ``tokenizer``: a ``tokenizers.Tokenizer`` with [CLS] and [SEP].
    """
    ends = {name: tokenizer.token_to_id(name) for name in ("[CLS]", "[SEP]")}
    lacking = [name for name, found in ends.items() if found is None]
    if lacking:
        raise InputError(f"A tokenizer must have [CLS] and [SEP], but this one lacks {lacking[0]}.")
    kind = np.uint16 if ids_of(tokenizer) <= 2**16 else np.uint32
    parts: list[npt.NDArray[Any]] = []
    count = 0
    source = iter(lines)
    while chunk := list(islice(source, 1000)):
        for encoding in tokenizer.encode_batch_fast(chunk, add_special_tokens=False):
            parts.append(np.array(encoding.ids, dtype=kind))
            count += len(parts[-1])
        if limit is not None and count >= limit:
            break
    if not count:
        raise InputError("A corpus must hold text, but this one is empty.")
    return TokenStream(
        tokens=np.concatenate(parts)[:limit],
        cls_id=ends["[CLS]"],
        sep_id=ends["[SEP]"],
    )
