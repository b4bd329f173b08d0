"""``finetune --supernet``: every sub-network learns a task at once."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from search.cli.console import progress, shown_score, table
from search.cli.corpus import LOSSES
from search.cli.turns import polite, polite_progress

if TYPE_CHECKING:
    from supernet.checkpoint import Checkpoint
    from supernet.finetune import Teacher
    from supernet.finetune_supernet import SupernetTuning
    from supernet.model import Supernet
    from supernet.spaces import CheckpointConfig, MemberScores, TaskRecord
    from supernet.tasks import EncodedParts, TaskSource

__all__ = ["Course", "finetune_members"]


@dataclass(frozen=True, kw_only=True)
class Course:
    """What is learned, from which examples, and by which supernet."""

    loaded: Checkpoint
    source: TaskSource
    parts: EncodedParts
    max_length: int
    teacher: Teacher | None
    licences: dict[str, str]
    """Of weights and texts, the examples and the teacher's among them."""
    facts: dict[str, str]
    """For the provenance."""


def finetune_members(out: Path, course: Course, config: SupernetTuning) -> dict[str, object]:
    """Train, write the task supernet ``out``, show what its named members reached; a summary."""
    from supernet import checkpoint
    from supernet.finetune import Lesson
    from supernet.finetune_supernet import finetune_supernet

    loaded, task, parts = course.loaded, course.source.task, course.parts
    head = task.head(loaded.config.pooling)
    lesson = Lesson(task=task, train=parts.train, dev=parts.dev, teacher=course.teacher)
    headed = loaded.supernet.with_task(head, seed=config.base.seed)
    with polite("finetune") as pause, progress("fine-tuning all sub-networks") as report:
        tuned = finetune_supernet(headed, lesson, config=config, progress=report, pause=pause)
    record = _record(tuned.supernet, course)
    facts = {"finetune_epochs": str(tuned.epochs), "random_members": str(config.random_members)}
    told = _told(course, record, facts)
    like = (loaded.tokenizer_path, loaded.stream_order)
    checkpoint.save(out, tuned.supernet, told, like=like)
    _show(tuned.supernet, record)
    members = {one.name: _summary(one, record.metrics) for one in record.scores}
    return {"supernet": str(out), "epochs": tuned.epochs, "members": members}


def _record(supernet: Supernet, course: Course) -> TaskRecord:
    """The task, and what the named members reached as they are."""
    from supernet.finetune_supernet import score_members
    from supernet.named_members import named_members
    from supernet.spaces import MemberScores, TaskRecord

    source, parts = course.source, course.parts
    named, scores = named_members(supernet.space), list[MemberScores]()
    with polite_progress("finetune", "scoring") as report:
        for i, (name, arch) in enumerate(named.items()):
            report(i, len(named), name)
            one = {name: arch}
            dev = score_members(supernet, one, source.task, parts.dev)
            test = None
            if parts.test is not None:
                test = score_members(supernet, one, source.task, parts.test)[name]
            scores.append(MemberScores(name=name, body=arch.id, dev=dev[name], test=test))
    assert supernet.task is not None
    return TaskRecord(
        name=source.name,
        kind=source.task.kind,
        head=supernet.task,
        labels=source.task.labels,
        metrics=source.task.metrics,
        pairs=source.pairs,
        max_length=course.max_length,
        scores=tuple(scores),
    )


def _told(course: Course, record: TaskRecord, facts: dict[str, str]) -> CheckpointConfig:
    """The configuration with the task; losses that were of the weights before are left out."""
    before = course.loaded.config
    kept = {k: v for k, v in before.provenance.items() if not k.endswith(LOSSES)}
    return dataclasses.replace(
        before,
        task=record,
        licences=course.licences,
        provenance=kept | course.facts | facts,
    )


def _show(supernet: Supernet, record: TaskRecord) -> None:
    from supernet.named_members import named_members

    named = named_members(supernet.space)
    columns = ["name", "network"]
    columns += [f"{part} {_words(name)}" for part in ("dev", "test") for name in record.metrics]
    rows = [(one.name, named[one.name].summary(), *_cells(one, record)) for one in record.scores]
    table("Sub-networks without training of their own", columns, rows)


def _cells(one: MemberScores, record: TaskRecord) -> list[str]:
    parts = (one.dev, one.test or {})
    return [shown_score(name, scores.get(name)) for scores in parts for name in record.metrics]


def _words(metric: str) -> str:
    return metric.replace("_", " ")


def _summary(one: MemberScores, metrics: Sequence[str]) -> dict[str, float | None]:
    test = one.test or {}
    found: dict[str, float | None] = {f"dev_{name}": one.dev[name] for name in metrics}
    return found | {f"test_{name}": test.get(name) for name in metrics}
