"""Members of a task supernet as fine-tuned networks: one training, a network for each device."""

from __future__ import annotations

from pathlib import Path

from fleetfit.architecture import Architecture, Head
from fleetfit.errors import InputError
from fleetfit.weights import Weights
from supernet import checkpoint
from supernet.checkpoint import Checkpoint
from supernet.spaces import is_checkpoint
from supernet.task_model import TaskModel, read_task_model

__all__ = ["member_model", "read_member"]


def member_model(loaded: Checkpoint, arch: Architecture) -> tuple[TaskModel, Weights]:
    """The member ``arch``, whatever its head, with the supernet's weights and head folded.

    Its scores are those that the supernet's fine-tuning kept of it, if any. Raises InputError for
    a supernet that was not fine-tuned on a task and for an architecture outside its space.
    """
    config, record = loaded.config, loaded.config.task
    if record is None:
        raise InputError(
            "A supernet must have learned a task before a member can be taken as it is, but this "
            "one has not; run finetune --supernet, or finetune the one network."
        )
    if not config.space.contains(arch.with_head(Head())):
        raise InputError(
            f"{arch.summary()} must be a member of this supernet to be taken from it, but is not; "
            "fine-tune the supernet that the search was told."
        )
    headed = arch.with_head(record.head)
    weights = loaded.supernet.extract(headed)
    scores = record.scores_of(arch)
    model = TaskModel(
        architecture=headed,
        kind=record.kind,
        labels=record.labels,
        metrics=record.metrics,
        pairs=record.pairs,
        max_length=record.max_length,
        task=record.name,
        dev={} if scores is None else scores.dev,
        test=None if scores is None else scores.test,
        licences=config.licences,
        provenance=config.provenance | {"task supernet": loaded.sha256[:16]},
    )
    return model, weights


def read_member(path: Path, arch: Architecture | None) -> tuple[TaskModel, Weights]:
    """The fine-tuned network ``path``, or the member ``arch`` of the task supernet ``path``.

    Raises InputError where a supernet is given and no member of it.
    """
    if not is_checkpoint(path):
        return read_task_model(path)
    if arch is None:
        raise InputError(
            f"{path} is a supernet with many members, and one must be chosen, but none is; give "
            "--verified or --architecture."
        )
    return member_model(checkpoint.load(path), arch)
