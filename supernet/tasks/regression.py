"""A number for each text or pair."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from fleetfit.architecture import Head
from fleetfit.errors import InputError
from supernet.forward import Output
from supernet.tasks.base import Encoded, Logits, Task, TaskKind
from supernet.tasks.data import NumberedTexts
from supernet.tasks.encoding import encode_rows
from supernet.tasks.metrics import NUMBER_METRICS, NumberMetric

__all__ = ["Regression"]

_LARGEST = 100.0
"""A head starts near 0 and moves by about the learning rate a step: it would not get further."""


class Regression(Task[NumberedTexts]):
    """Numbers by one output of the pooled state, in the numbers' own unit."""

    kind: TaskKind = "regression"

    def __init__(self, *, metrics: Sequence[NumberMetric] = ("pearson", "spearman")) -> None:
        """With the correlations to compute."""
        self._metrics = tuple(metrics)

    @property
    def labels(self) -> tuple[str, ...]:
        """None."""
        return ()

    @property
    def metrics(self) -> tuple[str, ...]:
        """Correlations."""
        return self._metrics

    def head(self, pooling: Literal["mean", "first"]) -> Head:
        """Classification with one output."""
        return Head(kind="classification", pooling=pooling, outputs=1)

    def encode(self, data: NumberedTexts, tokenizer: object, max_length: int) -> Encoded:
        """Texts or pairs cut at ``max_length``; InputError for numbers of another order than 1."""
        largest = max(map(abs, data.numbers), default=0.0)
        if largest > _LARGEST:
            raise InputError(
                f"Numbers to learn must be from -{_LARGEST:g} to {_LARGEST:g}, but one is "
                f"{largest:g}; divide them, as if to run from 0 to 5."
            )
        rows = encode_rows(data.texts, data.pairs, tokenizer, max_length)
        targets = torch.tensor(data.numbers, dtype=torch.float32)
        return Encoded(ids=rows.ids, segments=rows.segments, targets=targets, cut=rows.cut)

    def loss(self, output: Output, encoded: Encoded, chosen: Sequence[int]) -> Tensor:
        """Squared error."""
        assert output.logits is not None
        targets = encoded.targets[torch.as_tensor(chosen)].to(output.logits.device)
        return F.mse_loss(output.logits.float()[:, 0], targets)

    def soft_loss(
        self, output: Output, teachers_output: Output, encoded: Encoded, chosen: Sequence[int]
    ) -> Tensor:
        """Squared error to the teacher's number (Ba & Caruana 2014, section 2.2)."""
        assert output.logits is not None
        assert teachers_output.logits is not None
        theirs = teachers_output.logits.detach().to(output.logits.device)
        return F.mse_loss(output.logits.float(), theirs.float())

    def score(self, logits: Sequence[Logits], encoded: Encoded) -> dict[str, float]:
        """Correlations of the output with the numbers; 0 where the output is constant."""
        found = np.stack(logits)[:, 0].astype(np.float64)
        wanted = encoded.targets.numpy().astype(np.float64)
        return {name: NUMBER_METRICS[name](wanted, found) for name in self._metrics}
