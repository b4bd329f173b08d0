"""Answers that are parts of a text: windows of tokens in, the best span of all windows out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from exporters.rows import Row
from exporters.text import encodings, read_tokenizer, specials
from fleetfit.spans import Span, best_span, windows

__all__ = ["Answer", "QuestionEncoder", "Window"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """The part of a context that answers a question best."""

    text: str
    """``context[start:end]``; empty where the context has no words."""
    score: float
    """Start + end logit less those of [CLS]: of two answers the higher is the surer, and below 0
    the network finds it likelier that there is none."""
    start: int
    """Characters of the context before the answer."""
    end: int
    """Characters of the context up to the end of the answer."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Window:
    """``[CLS] question [SEP] part of the context [SEP]``."""

    row: Row
    first: int
    """Place in the row of the first token of the context."""
    spans: list[Span]
    """Characters of the context that each of its tokens covers."""

    def answer(self, logits: npt.NDArray[np.float32], context: str) -> Answer:
        """The best one of this window; ``logits``: seq x 2."""
        if not self.spans:
            return Answer(text="", score=0.0, start=0, end=0)
        score, first, last = best_span(logits, self.first, len(self.spans))
        start, end = self.spans[first][0], self.spans[last][1]
        return Answer(text=context[start:end], score=score, start=start, end=end)


class QuestionEncoder:
    """Cuts questions and contexts into windows as in training; threads may share it."""

    def __init__(self, tokenizer: str, *, max_length: int) -> None:
        """From the text of a ``tokenizer.json``; raises InputError where it is none."""
        self._tokenizer = read_tokenizer(tokenizer)  # one that cuts nothing
        self._specials = specials(self._tokenizer)
        self._max_length = max_length

    def windows(self, question: str, context: str) -> Iterator[Window]:
        """At least one; all of the context stands in them, however long it is.

        Raises InputError for texts that are not valid Unicode.
        """
        asked, known = encodings(self._tokenizer, [question, context], bare=True)
        ids, offsets = known.ids, known.offsets
        kept, places = windows(len(asked.ids), len(ids), self._max_length)
        cls, sep = self._specials
        head = [cls, *asked.ids[:kept], sep]
        for start, end in places:
            types = [0] * len(head) + [1] * (end - start + 1)
            yield Window(
                row=([*head, *ids[start:end], sep], types),
                first=len(head),
                spans=offsets[start:end],
            )
