"""The metrics of a task, of members of a supernet that has learned it."""

from __future__ import annotations

import hashlib
from typing import Any, Final

import torch

from fleetfit.architecture import Architecture
from fleetfit.errors import InputError
from fleetfit.query import Precision
from supernet.forward import Encoder
from supernet.measure import Figure
from supernet.model import Supernet
from supernet.spaces import CORRELATIONS
from supernet.tasks import (
    Encoded,
    Task,
    logits_of,
)

__all__ = ["EXAMPLES_AT_ONCE", "TaskScores"]

EXAMPLES_AT_ONCE: Final = 32
"""On a CPU more are slower (the shipped supernet's largest member on texts of 15 tokens, one core,
ms each at 16, 32, 64, 128: fp32 5.4, 3.4, 3.7, 4.6; bf16 1.21, 1.19, 1.29, 1.56).
"""


class TaskScores:
    """A ``Measure``: the metrics of a task over labelled examples; higher is better."""

    def __init__(
        self,
        supernet: Supernet,
        task: Task[Any],
        encoded: Encoded,
        *,
        batch_size: int = EXAMPLES_AT_ONCE,
    ) -> None:
        """``encoded``: by ``task.encode``, run ``batch_size`` rows at a time.

        Raises InputError where the supernet has not learned such a task, without examples and for
        ones that do not fit its members.
        """
        head = supernet.task
        if head is None or head != task.head(head.pooling or "mean"):
            raise InputError(
                f"A supernet must have learned a task of {task.kind} to be scored on it, but has "
                f"{'no task' if head is None else head}; fine-tune it first."
            )
        if not len(encoded):
            raise InputError("A task must have examples to be scored on, but there are none.")
        encoded.check(supernet.space.source)
        self._supernet, self._head = supernet, head
        self._task, self._encoded, self._size = task, encoded, batch_size

    @property
    def figures(self) -> tuple[Figure, ...]:
        """See Measure; the task's headline first."""
        return tuple(
            Figure(
                name=name,
                title=name.replace("_", " "),
                unit="" if name in CORRELATIONS else "share",
                lower_is_better=False,
            )
            for name in self._task.metrics
        )

    @property
    def data_id(self) -> str:
        """See Measure; over the tokens, the targets and what else the metrics look at."""
        encoded, task = self._encoded, self._task
        sha = hashlib.sha256(repr((task.kind, task.metrics, task.labels)).encode())
        for row in zip(encoded.ids, encoded.segments, strict=True):
            sha.update(repr(row).encode())
        sha.update(encoded.targets.numpy().tobytes())
        sha.update(repr(encoded.source).encode())
        return sha.hexdigest()[:16]

    def __call__(self, arch: Architecture, precision: Precision) -> dict[str, float]:
        """See Measure."""
        headed = arch.with_head(self._head)
        with torch.no_grad():
            run = Encoder(arch=headed, weights=self._supernet.slice(headed))
        logits = logits_of(run, self._encoded, precision=precision, batch_size=self._size)
        return self._task.score(logits, self._encoded)
