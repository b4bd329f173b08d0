"""Questions about texts, from a JSON in the layout of SQuAD v1.1."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from fleetfit.errors import InputError
from fleetfit.files import read_text

__all__ = ["Answer", "Question", "Questions", "read_squad"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """A part of a context."""

    text: str
    start: int
    """Characters of the context before it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """A question with its answers, all of them parts of ``context``."""

    id: str
    article: int
    """Which article of the file it is about."""
    context: str
    question: str
    answers: tuple[Answer, ...]
    """At least one; training takes the first."""

    def __post_init__(self) -> None:
        """Every answer stands where it says."""
        if not self.answers:
            raise InputError(
                f"Every question must have an answer in its context, but {self.id!r} has none; "
                "leave such questions out."
            )
        for answer in self.answers:
            end = answer.start + len(answer.text)
            stands = answer.start >= 0 and self.context[answer.start : end] == answer.text
            if not answer.text.strip() or not stands:
                raise InputError(
                    f"An answer must be the text at its answer_start, but {answer.text!r} of "
                    f"{self.id!r} is not at character {answer.start}."
                )


@dataclass(frozen=True, kw_only=True)
class Questions:
    """Questions in the order of the file."""

    items: tuple[Question, ...]

    def __len__(self) -> int:
        """Number of questions."""
        return len(self.items)

    def take(self, rows: Sequence[int]) -> Self:
        """The questions ``rows``, in that order."""
        return type(self)(items=tuple(self.items[i] for i in rows))

    @property
    def articles(self) -> tuple[int, ...]:
        """The article of each question."""
        return tuple(item.article for item in self.items)


def read_squad(path: Path) -> Questions:
    """``{"data": [{"paragraphs": [{"context", "qas": [{"id", "question", "answers"}]}]}]}``.

    Raises InputError, which names the place, for any other layout, for a question without an
    answer and for an answer that is not where it says.
    """
    text = read_text(path, "A file of questions")
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as exc:
        raise InputError(f"{path} must be JSON in SQuAD's layout, but is no JSON.") from exc
    try:
        items = tuple(_questions(data))
    except InputError as exc:
        raise InputError(f"{path}: {exc}") from exc
    if not items:
        raise InputError(f"{path} must hold questions, but holds none.")
    return Questions(items=items)


def _questions(data: object) -> Iterator[Question]:
    for i, article in enumerate(_list(data, "data", "The file")):
        for paragraph in _list(article, "paragraphs", f"data[{i}]"):
            where = f"A paragraph of data[{i}]"
            context = _text(paragraph, "context", where)
            for asked in _list(paragraph, "qas", where):
                name = _text(asked, "id", f"A question of data[{i}]")
                answers = _list(asked, "answers", f"The question {name!r}")
                yield Question(
                    id=name,
                    article=i,
                    context=context,
                    question=_text(asked, "question", f"The question {name!r}"),
                    answers=tuple(_answer(a, f"An answer of {name!r}") for a in answers),
                )


def _answer(data: object, where: str) -> Answer:
    start = _field(data, "answer_start", where)
    if type(start) is not int:
        raise InputError(f"{where} must have a whole number 'answer_start', but got {start!r}.")
    return Answer(text=_text(data, "text", where), start=start)


def _list(data: object, name: str, where: str) -> list[Any]:
    found = _field(data, name, where)
    if not isinstance(found, list):
        raise InputError(f"{where} must have a list {name!r}, but got {type(found).__name__}.")
    return found


def _text(data: object, name: str, where: str) -> str:
    found = _field(data, name, where)
    if not isinstance(found, str):
        raise InputError(f"{where} must have a text {name!r}, but got {type(found).__name__}.")
    if any("\ud800" <= letter <= "\udfff" for letter in found):
        raise InputError(f"{where} must have a text {name!r} of whole characters, but has a half.")
    return found


def _field(data: object, name: str, where: str) -> Any:
    if not isinstance(data, dict) or name not in data:
        raise InputError(f"{where} must be an object with {name!r}, but is not.")
    return data[name]
