"""A task together with its examples: what to learn from and what to be scored on."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fleetfit.errors import InputError
from supernet.tasks.base import Encoded, Task
from supernet.tasks.classification import Classification
from supernet.tasks.data import LabelledTexts, split, split_groups
from supernet.tasks.regression import Regression
from supernet.tasks.spans import SpanExtraction
from supernet.tasks.squad import read_squad
from supernet.tasks.tables import Columns, read_labelled, read_numbered

__all__ = ["HELD_OUT", "EncodedParts", "TaskSource", "read_questions", "read_table"]

HELD_OUT = 0.2
"""Share that is scored on, where one file must serve for both; always the same examples."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EncodedParts:
    """The examples of a source as tokens."""

    train: Encoded
    dev: Encoded
    """Decides which epoch is best."""
    test: Encoded | None
    """Decides nothing."""

    @property
    def cut(self) -> int:
        """How many texts did not fit as a whole, over all parts."""
        return self.train.cut + self.dev.cut + (0 if self.test is None else self.test.cut)


@dataclass(frozen=True, kw_only=True)
class TaskSource:
    """A task and its examples as they come from files."""

    name: str
    """For records: of the file, as in ``train.csv``, or of the task, as in ``sst2``."""
    task: Task[Any]
    train: Any
    """Examples to learn from, of the kind that ``task.encode`` takes."""
    test: Any = None
    """Examples to be scored on, once; None where there are none."""
    groups: tuple[Hashable, ...] | None = None
    """Of each example to learn from: those of a group stay together. None: each for itself."""
    pairs: bool = False
    """Whether each example is two texts."""
    held_out: bool = False
    """Whether the test examples were a part of the file to learn from."""

    def __len__(self) -> int:
        """Number of examples."""
        return len(self.train) + (0 if self.test is None else len(self.test))

    def parts(self, *, share: float, seed: int) -> tuple[Any, Any]:
        """The examples to learn from as a training part and a dev part of about ``share``.

        The dev part decides which epoch is best: the test examples decide nothing. Raises
        InputError where it would be too small for that.
        """
        if self.groups is None and isinstance(self.train, LabelledTexts):
            return split(self.train, share=share, seed=seed)
        groups: Sequence[Hashable] = self.groups or range(len(self.train))
        train, dev = split_groups(self.train, groups, share=share, seed=seed)
        if self.task.kind == "regression" and len(dev) < 3:
            raise InputError(
                f"A dev part must have at least 3 numbers to correlate, but a share of {share:g} "
                f"of {len(self.train)} examples has {len(dev)}; give more, or a larger share."
            )
        return train, dev

    def encoded(
        self, tokenizer: object, max_length: int, *, share: float, seed: int
    ) -> EncodedParts:
        """The ``parts`` and the test examples as tokens; see ``Task.encode``."""
        train, dev = (
            self.task.encode(part, tokenizer, max_length)
            for part in self.parts(share=share, seed=seed)
        )
        test = None if self.test is None else self.task.encode(self.test, tokenizer, max_length)
        return EncodedParts(train=train, dev=dev, test=test)


def read_table(
    train: Path, test: Path | None, columns: Columns, *, regression: bool = False
) -> TaskSource:
    """A task of any CSV or TSV, the labels of ``train``: names, or numbers for ``regression``."""
    if regression:
        return TaskSource(
            name=train.name,
            task=Regression(),
            train=read_numbered(train, columns),
            test=None if test is None else read_numbered(test, columns),
            pairs=columns.pair is not None,
        )
    labelled = read_labelled(train, columns)
    if len(labelled.names) < 2:
        raise InputError(
            f"A task must have at least two labels, but the only one in {train} is "
            f"{labelled.names[0]!r}; name another column."
        )
    scored = None
    if test is not None:
        scored = read_labelled(test, columns, names=labelled.names)
    return TaskSource(
        name=train.name,
        task=Classification(labelled.names),
        train=labelled,
        test=scored,
        pairs=columns.pair is not None,
    )


def read_questions(train: Path, test: Path | None) -> TaskSource:
    """Span extraction from files in SQuAD's layout.

    Without ``test`` a fifth of the articles is scored on. An article is never in two parts.
    """
    given = read_squad(train)
    if test is None:
        learned, scored = split_groups(given, given.articles, share=HELD_OUT, seed=0)
    else:
        learned, scored = given, read_squad(test)
    return TaskSource(
        name=train.name,
        task=SpanExtraction(),
        train=learned,
        test=scored,
        groups=learned.articles,
        pairs=True,
        held_out=test is None,
    )
