"""Answers that are parts of a text: the same windows and scores for training and for a bundle."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from fleetfit.errors import InputError

__all__ = ["LONGEST_ANSWER", "Span", "best_span", "windows"]

Span = tuple[int, int]
"""From and up to."""
LONGEST_ANSWER = 30
"""Tokens of an answer."""


def windows(question: int, context: int, max_length: int) -> tuple[int, list[Span]]:
    """How a question of ``question`` tokens and its context share rows of ``max_length`` tokens.

    The tokens that stay of the question, and the tokens of the context in each row; three of a
    row's tokens are special ones. Neighbours overlap by half, so that each answer of up to half a
    window stands in one as a whole. A question takes at most half of the room, or what its context
    leaves, and is cut at its end.
    """
    if max_length < 5:
        raise InputError(
            f"`max_length >= 5` must hold for questions with their context, but got {max_length}."
        )
    free = max_length - 3
    kept = min(question, max(free - context, free // 2))
    room = free - kept
    step = max(1, room // 2)
    starts = range(0, max(0, context - room), step)
    return kept, [*((s, s + room) for s in starts), (len(starts) * step, context)]


def best_span(logits: npt.NDArray[np.float32], first: int, count: int) -> tuple[float, int, int]:
    """Score, first and last token of the best span of a context of ``count`` >= 1 tokens.

    ``logits``: seq x 2, start and end of one row in which the context begins at ``first``; the two
    tokens are counted within the context. The score is start + end less the same of [CLS]. A
    softmax leaves a constant open in each window, and only such differences can be compared
    between windows (Devlin et al. 2019, section 4.3).
    """
    inside = logits[first : first + count].astype(np.float64)
    sums = inside[:, None, 0] + inside[None, :, 1]
    allowed = np.triu(np.ones_like(sums, dtype=bool))
    allowed &= ~np.triu(np.ones_like(sums, dtype=bool), LONGEST_ANSWER)
    place = int(np.where(allowed, sums, -np.inf).argmax())
    start, end = divmod(place, count)
    return float(sums[start, end] - logits[0].astype(np.float64).sum()), start, end
