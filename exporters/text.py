"""From texts to a network's inputs, with the ``tokenizers`` library alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from fleetfit import Embedding, InputError

__all__ = ["TextEncoder"]


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
        self, texts: Sequence[str], *, seq_len: int | None = None
    ) -> dict[str, npt.NDArray[np.int64]]:
        """Inputs of a network, batch x seq; seq is ``seq_len`` or the longest of the texts.

        At least one position of each row is real, even where the tokenizer gives nothing.
        """
        try:
            rows = self._tokenizer.encode_batch(list(texts))
        except (TypeError, UnicodeError) as exc:  # lone surrogates have no UTF-8 form
            raise InputError(f"Texts must be valid Unicode, but one is not: {exc}.") from exc
        length = seq_len or max(1, max(len(row.ids) for row in rows))
        shape = (len(rows), length)
        ids = np.full(shape, self._pad, dtype=np.int64)
        mask = np.zeros(shape, dtype=np.int64)
        segments = np.zeros(shape, dtype=np.int64)
        for i, row in enumerate(rows):
            n = len(row.ids)
            ids[i, :n], segments[i, :n] = row.ids, row.type_ids
            mask[i, : max(1, n)] = 1
        return {"input_ids": ids, "attention_mask": mask, "token_type_ids": segments}
