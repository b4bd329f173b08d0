"""From a bundle back to the fine-tuned network that it was made of."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exporters import Manifest
from fleetfit import InputError

if TYPE_CHECKING:
    from supernet.task_model import TaskModel
    from supernet.tasks import TaskKind

__all__ = ["task_model_of"]

_OF_EXPORT = ("task", "calibration")
"""Provenance that export adds."""


def task_model_of(manifest: Manifest) -> TaskModel:
    """What ``finetune`` said of the network before it was exported, without its scores.

    Its metric is the one that the bundle was scored by, or the first of its kind of task where it
    was not: replace ``metrics`` where another one matters (F1 of mrpc, say).
    With the weights (``exporters.read_weights``) it can be trained on, written by
    ``write_task_model`` and exported again. Raises InputError for a bundle of no task.
    """
    from supernet.spaces import METRICS
    from supernet.task_model import TaskModel

    kind = _kind_of(manifest)
    first = manifest.metric.name if manifest.metric else METRICS[kind][0]
    metrics = METRICS["span"] if kind == "span" else (first,)
    kept = {k: v for k, v in manifest.provenance.items() if k not in _OF_EXPORT}
    return TaskModel(
        architecture=manifest.architecture,
        kind=kind,
        labels=manifest.labels,
        metrics=metrics,
        pairs=manifest.pairs,
        max_length=manifest.max_length,
        task=manifest.provenance.get("task", "unknown"),
        dev={},
        licences={one.part: one.licence for one in manifest.licences},
        provenance=kept,
    )


def _kind_of(manifest: Manifest) -> TaskKind:
    head = manifest.architecture.head
    if head.kind == "span":
        return "span"
    if head.kind == "classification":
        return "classification" if manifest.labels else "regression"
    raise InputError(
        "A bundle must be of a task to be exported again after training, but this one has a head "
        f"of kind {head.kind}; train its EncoderNetwork alone."
    )
