"""Texts and pairs of texts as rows of tokens that fit a network."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fleetfit.errors import InputError
from fleetfit.pairs import cut_pair
from supernet.quality import encode_texts

__all__ = ["Rows", "encode_rows", "specials"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Rows:
    """Token ids and segment ids of each text or pair."""

    ids: list[list[int]]
    segments: list[list[int]]
    cut: int
    """How many were too long."""


def encode_rows(
    texts: Sequence[str], pairs: Sequence[str] | None, tokenizer: Any, max_length: int
) -> Rows:
    """Rows of at most ``max_length`` tokens, cut at the end; [SEP] stays.

    Pairs are ``[CLS] A [SEP] B [SEP]`` with segment 0 up to the first [SEP] and 1 after it (Devlin
    et al. 2019, section 3); the longer of the two is cut first.
    """
    if pairs is None:
        whole = encode_texts(texts, tokenizer, max_length=sys.maxsize)
        ids = [x if len(x) <= max_length else [*x[: max_length - 1], x[-1]] for x in whole]
        cut = sum(len(x) > max_length for x in whole)
        return Rows(ids=ids, segments=[[0] * len(x) for x in ids], cut=cut)
    if max_length < 5:
        raise InputError(
            f"`max_length >= 5` must hold for pairs (three special tokens and one of each), but "
            f"got {max_length}."
        )
    cls, sep = specials(tokenizer)
    firsts, seconds = (_bare(part, tokenizer) for part in (texts, pairs))
    found = Rows(ids=[], segments=[], cut=0)
    cut = 0
    for first, second in zip(firsts, seconds, strict=True):
        a, b = cut_pair(len(first), len(second), max_length - 3)
        cut += a + b < len(first) + len(second)
        found.ids.append([cls, *first[:a], sep, *second[:b], sep])
        found.segments.append([0] * (a + 2) + [1] * (b + 1))
    return Rows(ids=found.ids, segments=found.segments, cut=cut)


def specials(tokenizer: Any) -> tuple[int, int]:
    """The ids of [CLS] and [SEP]; raises InputError for a tokenizer without them."""
    ids = [tokenizer.token_to_id(name) for name in ("[CLS]", "[SEP]")]
    if None in ids:
        raise InputError("A tokenizer must have [CLS] and [SEP] for pairs, but this one has not.")
    return ids[0], ids[1]


def _bare(texts: Sequence[str], tokenizer: Any) -> list[list[int]]:
    encodings = tokenizer.encode_batch(list(texts), add_special_tokens=False)
    return [list(e.ids) for e in encodings]
