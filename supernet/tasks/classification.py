"""One of several classes for each text or pair."""

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
from supernet.tasks.data import LabelledTexts
from supernet.tasks.encoding import encode_rows
from supernet.tasks.metrics import CLASS_METRICS, ClassMetric

__all__ = ["Classification"]


class Classification(Task[LabelledTexts]):
    """Classes by a softmax over the logits of the pooled state."""

    kind: TaskKind = "classification"

    def __init__(
        self, labels: Sequence[str], *, metrics: Sequence[ClassMetric] = ("accuracy",)
    ) -> None:
        """At least two different ``labels``; F1 is of the second and needs exactly two."""
        self._labels, self._metrics = tuple(labels), tuple(metrics)
        if len(self._labels) < 2 or len(set(self._labels)) != len(self._labels):
            raise InputError(
                f"A task must have at least two different labels, but got {list(self._labels)[:9]}."
            )
        if "f1" in self._metrics and len(self._labels) != 2:
            raise InputError(
                f"F1 must have exactly two labels, but this task has {len(self._labels)}."
            )

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the classes."""
        return self._labels

    @property
    def metrics(self) -> tuple[str, ...]:
        """Accuracy, F1 or Matthews' correlation, as asked for."""
        return self._metrics

    def head(self, pooling: Literal["mean", "first"]) -> Head:
        """Classification with one output a class."""
        return Head(kind="classification", pooling=pooling, outputs=len(self._labels))

    def encode(self, data: LabelledTexts, tokenizer: object, max_length: int) -> Encoded:
        """Texts or pairs cut at ``max_length``; their labels must be this task's."""
        if data.names != self._labels:
            raise InputError(
                f"Texts must have the task's labels {list(self._labels)[:9]}, but have "
                f"{list(data.names)[:9]}."
            )
        rows = encode_rows(data.texts, data.pairs, tokenizer, max_length)
        targets = torch.tensor(data.labels, dtype=torch.int64)
        return Encoded(ids=rows.ids, segments=rows.segments, targets=targets, cut=rows.cut)

    def loss(self, output: Output, encoded: Encoded, chosen: Sequence[int]) -> Tensor:
        """Cross-entropy of the labels."""
        assert output.logits is not None
        targets = encoded.targets[torch.as_tensor(chosen)].to(output.logits.device)
        return F.cross_entropy(output.logits.float(), targets)

    def soft_loss(
        self, output: Output, teachers_output: Output, encoded: Encoded, chosen: Sequence[int]
    ) -> Tensor:
        """Cross-entropy to the teacher's probabilities.

        Hinton et al. 2015, section 2, at temperature 1, which Jiao et al. 2020 (TinyBERT) found
        to do well for the prediction layer.
        """
        assert output.logits is not None
        assert teachers_output.logits is not None
        shares = teachers_output.logits.detach().to(output.logits.device).float().softmax(dim=-1)
        return F.cross_entropy(output.logits.float(), shares)

    def score(self, logits: Sequence[Logits], encoded: Encoded) -> dict[str, float]:
        """The largest logit is the answer."""
        found = np.stack(logits).argmax(axis=-1).astype(np.int64)
        wanted = encoded.targets.numpy()
        return {name: CLASS_METRICS[name](wanted, found) for name in self._metrics}
