"""From texts to a network's inputs, with the ``tokenizers`` library alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from fleetfit import Embedding, InputError
from fleetfit.pairs import cut_pair

__all__ = ["TextEncoder"]

_Row = tuple[list[int], list[int]]
"""Token ids and segments."""


class TextEncoder:
    """Tokenises, cuts at the end, pads. What the file says about cutting and padding is unused."""

    def __init__(self, tokenizer: str, *, max_length: int) -> None:
        """From the text of a ``tokenizer.json``; raises InputError where it is none."""
        from tokenizers import Tokenizer

        try:
            self._tokenizer = Tokenizer.from_str(tokenizer)
        except Exception as exc:  # the library raises bare Exception
            raise InputError(f"A tokenizer must be a valid tokenizer.json, got: {exc}.") from exc
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(max_length)
        self._max_length = max_length
        self._pad = self._tokenizer.token_to_id("[PAD]") or 0

    def check(self, embedding: Embedding) -> None:
        """Raise InputError where the tokenizer gives ids that the network does not know."""
        needed = 1 + max(self._tokenizer.get_vocab().values(), default=-1)
        if needed > embedding.vocab_size:
            raise InputError(
                f"A tokenizer must fit the network's {embedding.vocab_size} words, "
                f"but needs {needed}."
            )

    def encode(
        self,
        texts: Sequence[str],
        seconds: Sequence[str] | None = None,
        *,
        seq_len: int | None = None,
    ) -> dict[str, npt.NDArray[np.int64]]:
        """Inputs of a network, batch x seq; seq is ``seq_len`` or the longest of the texts.

        ``seconds``: the second text of each pair. At least one position of each row is real, even
        where the tokenizer gives nothing.
        """
        try:
            rows = self._single(texts) if seconds is None else self._paired(texts, seconds)
        except (TypeError, UnicodeError) as exc:  # lone surrogates have no UTF-8 form
            raise InputError(f"Texts must be valid Unicode, but one is not: {exc}.") from exc
        length = seq_len or max(1, max(len(row) for row, _ in rows))
        shape = (len(rows), length)
        ids = np.full(shape, self._pad, dtype=np.int64)
        mask = np.zeros(shape, dtype=np.int64)
        segments = np.zeros(shape, dtype=np.int64)
        for i, (row, types) in enumerate(rows):
            n = len(row)
            ids[i, :n], segments[i, :n] = row, types
            mask[i, : max(1, n)] = 1
        return {"input_ids": ids, "attention_mask": mask, "token_type_ids": segments}

    def _single(self, texts: Sequence[str]) -> list[_Row]:
        return [(e.ids, e.type_ids) for e in self._tokenizer.encode_batch(list(texts))]

    def _paired(self, texts: Sequence[str], seconds: Sequence[str]) -> list[_Row]:
        """``[CLS] A [SEP] B [SEP]`` in segments 0 and 1, as in training (Devlin et al. 2019)."""
        cls, sep = (self._tokenizer.token_to_id(name) for name in ("[CLS]", "[SEP]"))
        if cls is None or sep is None:
            raise InputError("A tokenizer must have [CLS] and [SEP] for pairs, but one is missing.")
        bare = (
            self._tokenizer.encode_batch(list(part), add_special_tokens=False)
            for part in (texts, seconds)
        )
        rows: list[_Row] = []
        for first, second in zip(*bare, strict=True):
            # The library has cut each at ``max_length`` already: more room than it can get here.
            a, b = cut_pair(len(first.ids), len(second.ids), self._max_length - 3)
            ids = [cls, *first.ids[:a], sep, *second.ids[:b], sep]
            rows.append((ids, [0] * (a + 2) + [1] * (b + 1)))
        return rows
