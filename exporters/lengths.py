"""How long texts are in a tokenizer's tokens, and the law of lengths that they give."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

import numpy as np

from exporters.text import TextEncoder
from fleetfit import InputError, IntArray

__all__ = ["QUANTILES", "length_law", "spaced", "token_lengths"]

QUANTILES = 64
"""Lengths that stand for the distribution of many."""

_AT_ONCE = 1000


def token_lengths(texts: Iterable[str], tokenizer: str, *, max_length: int) -> IntArray:
    """Tokens of each text, special ones included, cut at ``max_length`` as in production.

    ``tokenizer``: the text of a ``tokenizer.json``; InputError where it is none, and for a text
    that is no valid Unicode.
    """
    if max_length < 2:  # the library cuts nothing where its special tokens alone are too many
        raise InputError(
            f"Texts must be cut at 2 tokens or more, special ones included, got {max_length}."
        )
    encoder = TextEncoder(tokenizer, max_length=max_length)
    found = [np.zeros(0, dtype=np.int64)]
    for group in _groups(texts):
        found.append(encoder.encode(group)["attention_mask"].sum(axis=1))
    return np.concatenate(found)


def length_law(lengths: IntArray, *, seq_len: int) -> tuple[int, ...]:
    """``Workload.lengths`` of texts with ``lengths`` tokens, each cut at ``seq_len``.

    QUANTILES equally likely values; one where all are equal, and none where all fill ``seq_len``:
    then nothing is padded. InputError where there is no text.
    """
    if not len(lengths):
        raise InputError("A law of lengths must be taken of at least one text, but got none.")
    cut = np.sort(np.minimum(lengths, seq_len))
    if cut[0] == cut[-1]:
        return () if cut[0] == seq_len else (int(cut[0]),)
    return tuple(spaced(cut, QUANTILES).tolist())


def spaced(lengths: IntArray, count: int) -> IntArray:
    """``count`` of the sorted ``lengths``: the middles of equal shares of them."""
    return lengths[(2 * np.arange(count) + 1) * len(lengths) // (2 * count)]


def _groups(texts: Iterable[str]) -> Iterator[list[str]]:
    left = iter(texts)
    while group := list(islice(left, _AT_ONCE)):
        yield group
