"""Questions with their contexts as rows of tokens: overlapping windows where a context is long."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from fleetfit.spans import Span, windows
from supernet.tasks.encoding import specials
from supernet.tasks.squad import Questions

__all__ = ["Window", "windows_of"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Window:
    """``[CLS] question [SEP] part of the context [SEP]``."""

    question: int
    """Place of its question among all."""
    ids: list[int]
    segments: list[int]
    first: int
    """Place in the row of the first token of the context."""
    spans: list[Span]
    """Characters of the context that each of its tokens covers, from and up to."""
    target: Span
    """Places in the row of the first and last token of the answer; (0, 0) where it is not here."""
    whole: bool
    """Whether all of the question and of the context is here."""


def windows_of(data: Questions, tokenizer: Any, max_length: int) -> Iterator[Window]:
    """The windows of each question in order, at most ``max_length`` tokens each.

    Cut as ``fleetfit.spans.windows`` says.
    """
    cls, sep = specials(tokenizer)
    asked = tokenizer.encode_batch([q.question for q in data.items], add_special_tokens=False)
    contexts = list(dict.fromkeys(q.context for q in data.items))
    known = tokenizer.encode_batch(contexts, add_special_tokens=False)
    encoded = dict(zip(contexts, known, strict=True))
    for i, (item, question) in enumerate(zip(data.items, asked, strict=True)):
        context = encoded[item.context]
        kept, places = windows(len(question.ids), len(context.ids), max_length)
        head = [cls, *question.ids[:kept], sep]
        answer = item.answers[0]
        wanted = _tokens_of((answer.start, answer.start + len(answer.text)), context.offsets)
        for start, end in places:
            yield Window(
                question=i,
                ids=[*head, *context.ids[start:end], sep],
                segments=[0] * len(head) + [1] * (end - start + 1),
                first=len(head),
                spans=list(context.offsets[start:end]),
                target=_placed(wanted, (start, end), len(head)),
                whole=len(question.ids) + len(context.ids) + 3 <= max_length,
            )


def _tokens_of(span: Span, offsets: list[Span]) -> Span | None:
    """First and last token that overlap the characters ``span``."""
    inside = [i for i, (a, b) in enumerate(offsets) if a < span[1] and b > span[0]]
    return (inside[0], inside[-1]) if inside else None


def _placed(wanted: Span | None, window: Span, first: int) -> Span:
    if wanted is None or wanted[0] < window[0] or wanted[1] >= window[1]:
        return 0, 0
    return wanted[0] - window[0] + first, wanted[1] - window[0] + first
