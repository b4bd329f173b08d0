"""What a task is to training and scoring: a head, texts as tokens, losses and metrics."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from fleetfit.architecture import Architecture, Head
from fleetfit.errors import InputError
from supernet.forward import Batch, Output

__all__ = ["Encoded", "Logits", "Task", "TaskKind"]

TaskKind = Literal["classification", "regression", "span"]
Logits = npt.NDArray[np.float32]
"""Of one row, without padding: outputs, or seq x 2 for spans."""
DataT = TypeVar("DataT", contravariant=True)


@dataclass(frozen=True, kw_only=True, slots=True)
class Encoded:
    """Rows of tokens with their targets."""

    ids: list[list[int]]
    """Token ids of each row, special ones included."""
    segments: list[list[int]]
    """Segment ids, as long as the row's ``ids``."""
    targets: Tensor
    """One a row: int64 label indices; float32 numbers; rows x 2 int64 positions for spans."""
    cut: int = 0
    """How many texts did not fit as a whole."""
    source: Any = None
    """What only the task's own ``score`` needs beside the logits."""

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.ids)

    @property
    def lengths(self) -> list[int]:
        """Tokens of each row."""
        return [len(row) for row in self.ids]

    def batch(self, chosen: Sequence[int]) -> Batch:
        """The rows ``chosen``, padded with 0 to the longest; on the CPU."""
        ids = torch.zeros(len(chosen), max(len(self.ids[r]) for r in chosen), dtype=torch.int64)
        mask, segments = torch.zeros_like(ids), torch.zeros_like(ids)
        for i, row in enumerate(chosen):
            length = len(self.ids[row])
            ids[i, :length] = torch.tensor(self.ids[row])
            segments[i, :length] = torch.tensor(self.segments[row])
            mask[i, :length] = 1
        return Batch(input_ids=ids, attention_mask=mask, token_type_ids=segments)

    def check(self, arch: Architecture) -> None:
        """Raise InputError where rows are too long for ``arch`` or name segments it has not."""
        embedding = arch.embedding
        segments = 1 + max((max(row, default=0) for row in self.segments), default=0)
        if segments > embedding.segments:
            raise InputError(
                f"Pairs of texts must have a network with {segments} segments, but this one has "
                f"{embedding.segments}; choose a source with token types."
            )
        longest = max(map(len, self.ids), default=0)
        if longest > embedding.max_positions:
            raise InputError(
                f"Texts must have at most the network's {embedding.max_positions} tokens, but one "
                f"has {longest}; lower max_length."
            )


class Task(ABC, Generic[DataT]):
    """A kind of labels with its head, losses and metrics. A value: it holds no data."""

    kind: TaskKind

    @property
    @abstractmethod
    def labels(self) -> tuple[str, ...]:
        """Names of the classes in the order of the outputs; empty for numbers and spans."""

    @property
    @abstractmethod
    def metrics(self) -> tuple[str, ...]:
        """Names of what ``score`` gives; the first is the headline and decides the best epoch."""

    @abstractmethod
    def head(self, pooling: Literal["mean", "first"]) -> Head:
        """The head that a network needs for this task."""

    @abstractmethod
    def encode(self, data: DataT, tokenizer: object, max_length: int) -> Encoded:
        """Rows of at most ``max_length`` tokens; ``tokenizer``: a ``tokenizers.Tokenizer``.

        Raises InputError where labels are not this task's or nothing would fit.
        """

    @abstractmethod
    def loss(self, output: Output, encoded: Encoded, chosen: Sequence[int]) -> Tensor:
        """Mean loss over the rows ``chosen``, of which ``output`` is the batch in that order."""

    @abstractmethod
    def soft_loss(
        self, output: Output, teachers_output: Output, encoded: Encoded, chosen: Sequence[int]
    ) -> Tensor:
        """Mean distance to a teacher's logits of the same rows; gradients to ``output`` only."""

    @abstractmethod
    def score(self, logits: Sequence[Logits], encoded: Encoded) -> dict[str, float]:
        """Every metric over all rows of ``encoded``; ``logits``: one of each row, in order.

        Shares are from 0 to 1, correlations from -1 to 1; higher is better.
        """
