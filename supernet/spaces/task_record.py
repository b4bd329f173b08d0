"""What a checkpoint's configuration says of the task that its supernet was fine-tuned on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from fleetfit.architecture import Architecture, Head
from fleetfit.codec import check_literals
from fleetfit.errors import InputError

__all__ = ["CORRELATIONS", "METRICS", "MemberScores", "TaskRecord"]

METRICS = {
    "classification": ("accuracy", "f1", "matthews"),
    "regression": ("pearson", "spearman"),
    "span": ("f1", "exact_match"),
}
"""What a network of each kind of task may be scored by (supernet.tasks)."""
CORRELATIONS = ("matthews", "pearson", "spearman")
"""Metrics from -1 to 1; the others are shares."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MemberScores:
    """What one member reached without training of its own, by metric."""

    name: str
    """As in tables: largest, smallest, .."""
    body: str
    """``Architecture.id`` of the member without head."""
    dev: dict[str, float]
    """On the part that decided which epoch is best."""
    test: dict[str, float] | None = None
    """On examples that decided nothing."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskRecord:
    """A task, its head beside the body, and what named members reached."""

    name: str
    """Of the task or of the training file, as in ``train.csv``."""
    kind: Literal["classification", "regression", "span"]
    head: Head
    labels: tuple[str, ...]
    """Of a classification; empty for numbers and spans."""
    metrics: tuple[str, ...]
    """The first decided which epoch is best."""
    pairs: bool
    """Whether members take two texts at once."""
    max_length: int
    """Tokens; longer texts were cut."""
    scores: tuple[MemberScores, ...] = ()

    def __post_init__(self) -> None:
        """The head is that of the task, with one output for each label, and there is a metric."""
        check_literals(self)
        named = set(self.labels)
        if len(named) != len(self.labels) or (len(named) > 0) != (self.kind == "classification"):
            raise InputError(
                "TaskRecord.labels must be different names for a classification and none for "
                f"others, but got {len(self.labels)} ({len(named)} different) for {self.kind!r}."
            )
        wanted = {
            "classification": ("classification", len(named)),
            "regression": ("classification", 1),
            "span": ("span", 2),
        }[self.kind]
        if (self.head.kind, self.head.outputs) != wanted:
            raise InputError(
                f"TaskRecord.head must be {wanted[0]} with {wanted[1]} outputs for this task, but "
                f"got {self.head.kind!r} with {self.head.outputs}."
            )
        if not self.metrics or not set(self.metrics) <= set(METRICS[self.kind]):
            raise InputError(
                f"TaskRecord.metrics must be some of {', '.join(METRICS[self.kind])} for "
                f"{self.kind}, but got {list(self.metrics)}."
            )

    def scores_of(self, arch: Architecture) -> MemberScores | None:
        """What the member ``arch``, under any head, reached; None where it was not scored."""
        body = arch.with_head(Head()).id
        return next((one for one in self.scores if one.body == body), None)
