"""From texts to a network's inputs, with the ``tokenizers`` library alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from exporters.rows import Row, stacked
from exporters.runtime import said
from fleetfit import Embedding, InputError
from fleetfit.pairs import cut_pair

__all__ = ["TextEncoder", "encodings", "read_tokenizer", "specials"]

_PROBE = "fleetfit \N{SNOWMAN}"
"""A text that no vocabulary need know."""


class TextEncoder:
    """Tokenises, cuts at the end, pads. What the file says about cutting and padding is unused."""

    def __init__(self, tokenizer: str, *, max_length: int) -> None:
        """From the text of a ``tokenizer.json``; raises InputError where it is none."""
        self._tokenizer = read_tokenizer(tokenizer)
        self._tokenizer.enable_truncation(max_length)
        self._max_length = max_length
        self.pad: int = self._tokenizer.token_to_id("[PAD]") or 0

    def check(self, embedding: Embedding) -> None:
        """Raise InputError where the tokenizer gives ids or segments that the network lacks."""
        (probe,) = encodings(self._tokenizer, [_PROBE])
        # The ids of special tokens stand in the post-processor too, and need not agree.
        ids = [*self._tokenizer.get_vocab().values(), *probe.ids]
        needed = 1 + max(ids, default=-1)
        if needed > embedding.vocab_size:
            raise InputError(
                f"A tokenizer must fit the network's {embedding.vocab_size} words, but needs "
                f"{needed}; take the tokenizer that the network was trained with."
            )
        added = self._tokenizer.num_special_tokens_to_add(is_pair=False)
        if added > self._max_length:  # the library would cut nothing
            raise InputError(
                f"A tokenizer must add at most the {self._max_length} tokens that a text may have, "
                f"but adds {added}; take the tokenizer that the network was trained with."
            )
        segments = 1 + max(probe.type_ids, default=-1)
        if segments > embedding.segments:
            raise InputError(
                f"A tokenizer must fit the network's {embedding.segments} segments, but needs "
                f"{segments}; take the tokenizer that the network was trained with."
            )

    def encode(
        self,
        texts: Sequence[str],
        seconds: Sequence[str] | None = None,
        *,
        seq_len: int | None = None,
    ) -> dict[str, npt.NDArray[np.int64]]:
        """Inputs of a network, batch x seq; see ``stacked``.

        ``seconds``: the second text of each pair. Raises InputError for texts that are not valid
        Unicode.
        """
        rows = self._single(texts) if seconds is None else self._paired(texts, seconds)
        return stacked(rows, pad=self.pad, seq_len=seq_len)

    def _single(self, texts: Sequence[str]) -> list[Row]:
        return [(e.ids, e.type_ids) for e in encodings(self._tokenizer, texts)]

    def _paired(self, texts: Sequence[str], seconds: Sequence[str]) -> list[Row]:
        """``[CLS] A [SEP] B [SEP]`` in segments 0 and 1, as in training (Devlin et al. 2019)."""
        cls, sep = specials(self._tokenizer)
        bare = (encodings(self._tokenizer, part, bare=True) for part in (texts, seconds))
        rows: list[Row] = []
        for first, second in zip(*bare, strict=True):
            # The library has cut each at ``max_length`` already: more room than it can get here.
            a, b = cut_pair(len(first.ids), len(second.ids), self._max_length - 3)
            ids = [cls, *first.ids[:a], sep, *second.ids[:b], sep]
            rows.append((ids, [0] * (a + 2) + [1] * (b + 1)))
        return rows


def read_tokenizer(text: str) -> Any:
    """The ``tokenizers.Tokenizer`` of a ``tokenizer.json``, which neither cuts nor pads.

    Raises InputError where the text is none.
    """
    from tokenizers import Tokenizer

    try:
        found = Tokenizer.from_str(text)
    except BaseException as exc:
        raise _refused(exc, "A tokenizer must be a valid tokenizer.json") from exc
    found.no_padding()
    found.no_truncation()
    return found


def encodings(tokenizer: Any, texts: Sequence[str], *, bare: bool = False) -> list[Any]:
    """What the library makes of each text; ``bare``: without special tokens.

    Raises InputError for what is not valid Unicode, and for a tokenizer that cannot go on.
    """
    try:
        found: list[Any] = tokenizer.encode_batch(list(texts), add_special_tokens=not bare)
    except (TypeError, UnicodeError) as exc:  # lone surrogates have no UTF-8 form
        raise InputError(
            "Texts must be valid Unicode, but one holds half a character; decode bytes as UTF-8."
        ) from exc
    except BaseException as exc:
        raise _refused(exc, "A tokenizer must take any text") from exc
    return found


def specials(tokenizer: Any) -> tuple[int, int]:
    """The ids of [CLS] and [SEP]; raises InputError where one is missing."""
    cls, sep = (tokenizer.token_to_id(name) for name in ("[CLS]", "[SEP]"))
    if cls is None or sep is None:
        raise InputError("A tokenizer must have [CLS] and [SEP] for pairs, but one is missing.")
    return cls, sep


def _refused(exc: BaseException, rule: str) -> InputError:
    """The library raises bare Exception, and where it panics a class without a name to import."""
    if not isinstance(exc, Exception) and type(exc).__name__ != "PanicException":
        raise  # an interrupt
    told = said(exc).rstrip(".")
    return InputError(
        f"{rule}, but the library says: {told}; take the tokenizer that the network was trained "
        "with."
    )
