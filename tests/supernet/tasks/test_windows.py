"""Windows over contexts: nothing of a context is lost, and targets are where the answer is."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fleetfit import InputError
from supernet.tasks import Answer, Question, Questions, SpanExtraction
from supernet.tasks.windows import windows_of
from tests.supernet.tasks.cases import questions
from tests.supernet.tiny import IDS, WORDS

CLS, SEP = IDS["[CLS]"], IDS["[SEP]"]


def one(context: str, question: str, answer: str) -> Questions:
    given = Answer(text=answer, start=context.index(answer))
    item = Question(id="q", article=0, context=context, question=question, answers=(given,))
    return Questions(items=(item,))


def test_windows_by_hand(tokenizer: Any) -> None:
    """``w00`` has the id 5. A row of 8 has room for 4 tokens beside a question of one token."""
    data = one(" ".join(WORDS[:7]), "w90", "w03 w04")
    first, second, third = windows_of(data, tokenizer, 8)
    assert first.ids == [CLS, 95, SEP, 5, 6, 7, 8, SEP]
    assert second.ids == [CLS, 95, SEP, 7, 8, 9, 10, SEP]
    assert third.ids == [CLS, 95, SEP, 9, 10, 11, SEP]
    assert first.segments == [0, 0, 0, 1, 1, 1, 1, 1]
    assert [w.target for w in (first, second, third)] == [(0, 0), (4, 5), (0, 0)]
    assert first.spans == [(0, 3), (4, 7), (8, 11), (12, 15)]
    assert not any(w.whole for w in (first, second, third))
    (all_of_it,) = windows_of(data, tokenizer, 11)
    assert all_of_it.whole


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(seed=st.integers(0, 999), max_length=st.integers(5, 40))
def test_every_token_stands_in_a_window_and_every_target_is_the_answer(
    tokenizer: Any, seed: int, max_length: int
) -> None:
    data = questions(3, seed=seed)
    found = list(windows_of(data, tokenizer, max_length))
    assert [w.question for w in found] == sorted(w.question for w in found)
    for place, item in enumerate(data.items):
        mine = [w for w in found if w.question == place]
        spans = list(dict.fromkeys(itertools.chain.from_iterable(w.spans for w in mine)))
        assert " ".join(item.context[a:b] for a, b in sorted(spans)) == item.context
        for window in mine:
            assert len(window.ids) <= max_length
            assert len(window.spans) == len(window.ids) - window.first - 1
            if window.target != (0, 0):
                start, end = (window.spans[t - window.first] for t in window.target)
                assert item.context[start[0] : end[1]] == item.answers[0].text
        words = len(item.answers[0].text.split())
        room = max_length - mine[0].first - 1
        if words <= room - room // 2:
            assert any(w.target != (0, 0) for w in mine)


def test_an_overlong_question_takes_half_of_the_room_or_what_is_left(tokenizer: Any) -> None:
    data = one("w00 w01", " ".join(WORDS[10:60]), "w01")
    (window,) = windows_of(data, tokenizer, 13)
    assert window.ids == [CLS, *range(15, 23), SEP, 5, 6, SEP]
    assert not window.whole
    long = one(" ".join(WORDS[:9]), " ".join(WORDS[10:60]), "w01")
    first, *_ = windows_of(long, tokenizer, 13)
    assert first.ids == [CLS, *range(15, 20), SEP, 5, 6, 7, 8, 9, SEP]


def test_an_answer_inside_a_token_is_that_token(tokenizer: Any) -> None:
    (window,) = windows_of(one("w00 w11 w02", "w90", "11"), tokenizer, 20)
    assert window.target == (4, 4)


def test_too_short_rows_are_refused(tokenizer: Any) -> None:
    with pytest.raises(InputError, match="max_length >= 5"):
        list(windows_of(one("w00", "w01", "w00"), tokenizer, 4))


def test_the_best_answer_over_windows_wins_whatever_their_level(tokenizer: Any) -> None:
    """A softmax leaves a constant open: a window of high logits that prefers [CLS] must lose."""
    data = one(" ".join(WORDS[:7]), "w90", "w03 w04")
    task = SpanExtraction()
    encoded = task.encode(data, tokenizer, 8)
    logits = [np.zeros((len(ids), 2), dtype=np.float32) for ids in encoded.ids]
    logits[0] += 50
    logits[0][0] += 9
    logits[1][4, 0] = logits[1][5, 1] = 2
    assert task.score(logits, encoded) == {"f1": 1.0, "exact_match": 1.0}


def test_an_answer_never_ends_before_it_starts_nor_is_longer_than_30_tokens(
    tokenizer: Any,
) -> None:
    context = " ".join(WORDS[:33])
    task = SpanExtraction()
    encoded = task.encode(one(context, "w90", " ".join(WORDS[30:32])), tokenizer, 40)
    (ids,) = encoded.ids
    values = np.zeros((len(ids), 2), dtype=np.float32)
    start, end = encoded.targets[0].tolist()
    values[start, 0], values[end, 1] = 8, 9
    values[end + 1, 0] = 9  # 18 with the end before it
    values[3, 0] = 8.5  # the first word: 17.5 with the end 32 tokens on
    assert task.score([values], encoded)["exact_match"] == 1
