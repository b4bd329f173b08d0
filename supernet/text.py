"""Text as one stream of tokens, cut into windows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fleetfit.errors import InputError
from supernet.documents import open_text, pieces
from supernet.packing import Packing
from supernet.shards import Ids, ShardedIds

__all__ = ["Encoder", "TokenStream", "ids_of", "read_lines", "read_tokens", "restore_wikitext"]

_WIKITEXT_MARKS = ((" @-@ ", "-"), (" @,@ ", ","), (" @.@ ", "."), ("<unk>", "[UNK]"))
_TEXTS, _CHARACTERS = 1000, 2**20  # of one call of the tokenizer, which bounds its memory


def read_lines(path: Path) -> Iterator[str]:
    """The lines of a UTF-8 text file that are not blank; raises InputError for any other file."""
    with open_text(path) as (file, _):
        for raw in file:
            if "\0" in raw:
                raise InputError(f"{path} must be text, but it holds zero bytes; is it binary?")
            line = raw.strip()
            if line:
                yield line


def restore_wikitext(lines: Iterable[str]) -> Iterator[str]:
    """WikiText lines with its escapes undone and ``<unk>`` as [UNK]; headings are left out."""
    for line in lines:
        if not line.startswith("= "):
            for mark, text in _WIKITEXT_MARKS:
                line = line.replace(mark, text)
            yield line


@dataclass(frozen=True, kw_only=True)
class TokenStream:
    """Body tokens of a text end to end, cut into windows of [CLS] body [SEP].

    Where documents are known, windows keep to them as ``Packing`` says; else a text is cut from
    its beginning and what does not fill a window at its end is left out.
    """

    tokens: Ids | ShardedIds
    """16 bits each, or 32 where the vocabulary needs them."""
    cls_id: int
    sep_id: int
    ends: npt.NDArray[np.int64] | None = None
    """Where each document ends: rising, the last at the end of the tokens. None: not known."""
    _packings: dict[int, Packing] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        """Documents hold tokens, and all of them."""
        if self.ends is not None and len(self.tokens):
            steps = np.diff(self.ends, prepend=0)
            if not len(steps) or steps.min() < 1 or self.ends[-1] != len(self.tokens):
                raise InputError(
                    "The ends of documents must rise to the number of tokens, "
                    f"{len(self.tokens)}, but do not."
                )

    def windows(self, seq_len: int) -> int:
        """How many windows of ``seq_len`` tokens there are."""
        if seq_len < 3:
            raise InputError(f"A window must have at least 3 tokens, but got {seq_len}.")
        packing = self._packing(seq_len - 2)
        return len(self.tokens) // (seq_len - 2) if packing is None else len(packing)

    def batch(self, rows: Sequence[int] | npt.NDArray[np.int64], seq_len: int) -> npt.NDArray[Any]:
        """The windows ``rows``, int64, rows x seq_len."""
        body = seq_len - 2
        rows = np.asarray(rows, dtype=np.int64)
        packing = self._packing(body)
        ids = np.empty((len(rows), seq_len), dtype=np.int64)
        ids[:, 0], ids[:, -1] = self.cls_id, self.sep_id
        if packing is None:
            ids[:, 1:-1] = self.tokens[rows[:, None] * body + np.arange(body)]
        else:
            places = packing.positions(rows)
            ids[:, 1:-1] = np.where(places < 0, self.sep_id, self.tokens[np.maximum(places, 0)])
        return ids

    def _packing(self, body: int) -> Packing | None:
        if self.ends is None:
            return None
        if body not in self._packings:
            self._packings[body] = Packing(self.ends, body)
        return self._packings[body]


class Encoder:
    """A ``tokenizers.Tokenizer`` with [CLS] and [SEP], and the type that holds its ids."""

    def __init__(self, tokenizer: Any) -> None:
        """Raises InputError where one of the two is lacking."""
        ends = {name: tokenizer.token_to_id(name) for name in ("[CLS]", "[SEP]")}
        lacking = [name for name, found in ends.items() if found is None]
        if lacking:
            raise InputError(
                f"A tokenizer must have [CLS] and [SEP], but this one lacks {lacking[0]}."
            )
        self.cls_id, self.sep_id = ends["[CLS]"], ends["[SEP]"]
        self.dtype = np.dtype(np.uint16 if ids_of(tokenizer) <= 2**16 else np.uint32)
        self._tokenizer = tokenizer

    def encode(self, texts: Iterable[str]) -> Iterator[tuple[str, Ids]]:
        """Each text with its ids, without [CLS] and [SEP]."""
        for batch in _batches(texts):
            found = self._tokenizer.encode_batch_fast(batch, add_special_tokens=False)
            for text, encoding in zip(batch, found, strict=True):
                yield text, np.array(encoding.ids, dtype=self.dtype)

    def stream(
        self, parts: Sequence[Ids], *, ends: npt.NDArray[np.int64] | None = None
    ) -> TokenStream:
        """The stream of ``parts`` end to end; raises InputError where they hold nothing."""
        filled = [part for part in parts if len(part)]
        if not filled:
            raise InputError("A corpus must hold text, but this one is empty.")
        return TokenStream(
            tokens=filled[0] if len(filled) == 1 else ShardedIds(filled),
            cls_id=self.cls_id,
            sep_id=self.sep_id,
            ends=ends,
        )


def _batches(texts: Iterable[str]) -> Iterator[list[str]]:
    batch: list[str] = []
    size = 0
    for text in texts:
        batch.append(text)
        size += len(text)
        if len(batch) >= _TEXTS or size >= _CHARACTERS:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def ids_of(tokenizer: Any) -> int:
    """How many ids a ``tokenizers.Tokenizer`` needs: its largest and one."""
    return 1 + max(tokenizer.get_vocab().values(), default=-1)


def read_tokens(lines: Iterable[str], tokenizer: Any, *, limit: int | None = None) -> TokenStream:
    """Tokenise ``lines`` as one text, up to ``limit`` tokens; InputError where there are none.

    ``tokenizer``: a ``tokenizers.Tokenizer`` with [CLS] and [SEP].
    """
    encoder = Encoder(tokenizer)
    parts: list[Ids] = []
    count = 0
    for _, ids in encoder.encode(chain.from_iterable(map(pieces, lines))):
        parts.append(ids)
        count += len(ids)
        if limit is not None and count >= limit:
            break
    joined: Ids = np.concatenate([np.zeros(0, dtype=encoder.dtype), *parts])[:limit]
    return encoder.stream([joined])
