"""Windows over a context and the best span in one, each against the plain way."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetfit import InputError
from fleetfit.spans import LONGEST_ANSWER, best_span, windows


def test_windows_by_hand() -> None:
    """A row of 8 has room for 4 tokens of the context beside a question of one token."""
    assert windows(1, 7, 8) == (1, [(0, 4), (2, 6), (4, 7)])
    assert windows(1, 4, 8) == (1, [(0, 4)])


def test_a_question_takes_half_of_the_room_or_what_is_left() -> None:
    assert windows(50, 2, 13) == (8, [(0, 2)])
    assert windows(50, 9, 13)[0] == 5


def test_an_empty_context_has_one_empty_window() -> None:
    assert windows(3, 0, 8) == (3, [(0, 0)])


@given(st.integers(0, 60), st.integers(0, 200), st.integers(5, 64))
def test_rows_fit_and_every_short_span_stands_in_one(
    question: int, context: int, max_length: int
) -> None:
    kept, found = windows(question, context, max_length)
    assert all(kept + end - start + 3 <= max_length for start, end in found)
    assert found[0][0] == 0
    assert found[-1][1] == context
    room = max_length - 3 - kept
    for (_, end), (start, _) in itertools.pairwise(found):
        assert end - start >= room // 2 or room == 1


def test_too_short_rows_are_refused() -> None:
    with pytest.raises(InputError, match="max_length >= 5"):
        windows(1, 1, 4)


@given(st.integers(0, 999), st.integers(1, 45))
def test_the_best_span_is_that_of_trying_all(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    first = 4
    logits = rng.normal(size=(first + count + 3, 2)).astype(np.float32)
    score, start, end = best_span(logits, first, count)
    every = [
        (float(logits[first + a, 0].astype(float) + logits[first + b, 1]), a, b)
        for a in range(count)
        for b in range(a, min(count, a + LONGEST_ANSWER))
    ]
    wanted = max(every)
    assert (start, end) == wanted[1:]
    assert score == pytest.approx(wanted[0] - float(logits[0].sum()), abs=1e-5)
