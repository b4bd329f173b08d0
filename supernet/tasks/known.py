"""The task that a record of one describes."""

from __future__ import annotations

from typing import Any, Protocol, assert_never, cast

from supernet.tasks.base import Task, TaskKind
from supernet.tasks.classification import Classification
from supernet.tasks.regression import Regression
from supernet.tasks.spans import SpanExtraction

__all__ = ["Described", "task_of"]


class Described(Protocol):
    """What a fine-tuned network or supernet says of its task."""

    @property
    def kind(self) -> TaskKind:
        """The kind of task."""

    @property
    def labels(self) -> tuple[str, ...]:
        """Of a classification."""

    @property
    def metrics(self) -> tuple[str, ...]:
        """The headline first."""


def task_of(record: Described) -> Task[Any]:
    """The task of ``record``, whose metrics are of its kind."""
    match record.kind:
        case "classification":
            return Classification(record.labels, metrics=cast(Any, record.metrics))
        case "regression":
            return Regression(metrics=cast(Any, record.metrics))
        case "span":
            return SpanExtraction()
        case _:
            assert_never(record.kind)
