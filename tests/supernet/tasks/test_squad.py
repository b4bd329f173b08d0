"""Files in SQuAD's layout: what they say comes out, what is odd is named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetfit import InputError
from supernet.tasks import Answer, Question, Questions, read_squad

CONTEXT = "Denver beat Carolina 24–10."


def layout(**changes: Any) -> Any:
    asked = {
        "id": "q1",
        "question": "Who lost?",
        "answers": [{"answer_start": 12, "text": "Carolina"}],
    }
    return {
        "version": "1.1",
        "data": [{"title": "Bowl", "paragraphs": [{"context": CONTEXT, "qas": [asked | changes]}]}],
    }


def written(tmp_path: Path, data: Any) -> Path:
    path = tmp_path / "q.json"
    path.write_text(json.dumps(data))
    return path


def test_a_file_by_hand(tmp_path: Path) -> None:
    question = Question(
        id="q1",
        article=0,
        context=CONTEXT,
        question="Who lost?",
        answers=(Answer(text="Carolina", start=12),),
    )
    found = read_squad(written(tmp_path, layout()))
    assert found == Questions(items=(question,))
    assert found.articles == (0,)
    assert found.take([0, 0]).items == (question, question)


_TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30)


@given(
    articles=st.lists(st.lists(_TEXT.filter(str.strip), max_size=3), min_size=1, max_size=3),
    data=st.data(),
)
def test_any_questions_come_back(
    tmp_path_factory: pytest.TempPathFactory, articles: list[list[str]], data: st.DataObject
) -> None:
    wanted, file = [], []
    for i, contexts in enumerate(articles):
        paragraphs = []
        for context in contexts:
            place = next(k for k, letter in enumerate(context) if letter.strip())
            text = context[place : data.draw(st.integers(place + 1, len(context)))]
            answer = {"answer_start": place, "text": text}
            asked = {"id": context, "question": context[::-1], "answers": [answer]}
            paragraphs.append({"context": context, "qas": [asked]})
            wanted.append((i, context, context[::-1], text, place))
        file.append({"paragraphs": paragraphs})
    path = written(tmp_path_factory.mktemp("squad"), {"data": file})
    if not wanted:
        with pytest.raises(InputError, match="must hold questions"):
            read_squad(path)
        return
    found = [
        (q.article, q.context, q.question, q.answers[0].text, q.answers[0].start)
        for q in read_squad(path).items
    ]
    assert found == wanted


@pytest.mark.parametrize(
    ("data", "named"),
    [
        ([], "The file must be an object with 'data'"),
        ({"data": {}}, "must have a list 'data', but got dict"),
        ({"data": [{}]}, r"data\[0\] must be an object with 'paragraphs'"),
        (layout(question=1), "The question 'q1' must have a text 'question', but got int"),
        (layout(question="half \ud83d"), "'question' of whole characters"),
        (layout(answers=[]), "'q1' has none"),
        (layout(answers=[{"text": "x"}]), "An answer of 'q1' .*'answer_start'"),
        (layout(answers=[{"text": "Carolina", "answer_start": "12"}]), "whole number"),
        (layout(answers=[{"text": "Carolina", "answer_start": 11}]), "'Carolina' of 'q1' is not"),
        (layout(answers=[{"text": "10.", "answer_start": -3}]), "is not at character -3"),
        (layout(answers=[{"text": "", "answer_start": 0}]), "is not at character 0"),
    ],
)
def test_another_layout_is_refused_with_its_place(tmp_path: Path, data: Any, named: str) -> None:
    with pytest.raises(InputError, match=rf"q\.json: .*{named}"):
        read_squad(written(tmp_path, data))


@given(st.text() | st.recursive(st.none() | st.integers(), lambda x: st.lists(x)).map(json.dumps))
def test_any_text_is_refused_or_read(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.mktemp("squad") / "q.json"
    path.write_bytes(text.encode(errors="replace"))
    with pytest.raises(InputError):
        read_squad(path)
