"""Every kind of task with examples whose answer stands in the text, in the tiny vocabulary."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from supernet.tasks import (
    Answer,
    Classification,
    Encoded,
    LabelledTexts,
    Logits,
    NumberedTexts,
    Question,
    Questions,
    Regression,
    SpanExtraction,
    Task,
)
from tests.supernet.tiny import WORDS

MAX_LENGTH = 14


@dataclass(frozen=True, kw_only=True)
class Case:
    task: Task[Any]
    data: Any

    def encoded(self, tokenizer: Any, *, max_length: int = MAX_LENGTH) -> Encoded:
        return self.task.encode(self.data, tokenizer, max_length)


def texts(count: int, *, seed: int = 0, most: int = 20) -> tuple[str, ...]:
    rng = np.random.default_rng(seed)
    return tuple(" ".join(rng.choice(WORDS, size=rng.integers(1, most))) for _ in range(count))


def questions(count: int = 9, *, seed: int = 0) -> Questions:
    """Contexts of 3 to 30 words; the answer is one to three of them. Three articles."""
    rng = np.random.default_rng(seed)
    items = []
    for i in range(count):
        words = [str(w) for w in rng.choice(WORDS, size=rng.integers(3, 31), replace=False)]
        first = int(rng.integers(len(words)))
        answer = " ".join(words[first : first + int(rng.integers(1, 4))])
        start = len(" ".join([*words[:first], ""])) if first else 0
        items.append(
            Question(
                id=f"q{i}",
                article=i % 3,
                context=" ".join(words),
                question=" ".join(rng.choice(WORDS, size=3)),
                answers=(Answer(text=answer, start=start),),
            )
        )
    return Questions(items=tuple(items))


_LABELS = tuple(int(x) for x in np.arange(12) % 3)
_TWO = tuple(int(x) for x in np.arange(12) % 2)
CASES: dict[str, Case] = {
    "classes": Case(
        task=Classification(("a", "b", "c"), metrics=("accuracy", "matthews")),
        data=LabelledTexts(texts=texts(12), labels=_LABELS, names=("a", "b", "c")),
    ),
    "classes_of_pairs": Case(
        task=Classification(("no", "yes"), metrics=("f1", "accuracy")),
        data=LabelledTexts(
            texts=texts(12), pairs=texts(12, seed=1), labels=_TWO, names=("no", "yes")
        ),
    ),
    "numbers_of_pairs": Case(
        task=Regression(),
        data=NumberedTexts(
            texts=texts(12), pairs=texts(12, seed=1), numbers=tuple(np.linspace(0, 5, 12).tolist())
        ),
    ),
    "spans": Case(task=SpanExtraction(), data=questions()),
}


def perfect(encoded: Encoded, task: Task[Any]) -> list[Logits]:
    """Logits that say the target of each row."""
    found = []
    for ids, target in zip(encoded.ids, encoded.targets, strict=True):
        if task.kind == "regression":
            values = np.array([float(target)])
        elif task.kind == "classification":
            values = 9.0 * np.eye(len(task.labels))[int(target)]
        else:
            values = 9.0 * np.eye(len(ids))[target.numpy()].T
        found.append(values.astype(np.float32))
    return found
