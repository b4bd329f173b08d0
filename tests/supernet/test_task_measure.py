"""Task scores as a measure, against the metrics of the same members extracted."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch

from fleetfit import InputError
from supernet.measure import Measure
from supernet.model import Supernet
from supernet.network import EncoderNetwork
from supernet.spaces import TaskRecord
from supernet.task_measure import TaskScores
from supernet.tasks import (
    Classification,
    Encoded,
    Regression,
    SpanExtraction,
    Task,
    runner,
    score_network,
    task_of,
)
from tests.supernet import tiny

CLASSES = Classification(("a", "b", "c"))
TASKS: dict[str, Task[Any]] = {"classes": CLASSES, "numbers": Regression()}


def examples(task: Task[Any], *, count: int = 40) -> Encoded:
    rows = tiny.batch(rows=count, length=12).input_ids.tolist()
    targets = torch.arange(count) % 3
    return Encoded(
        ids=rows,
        segments=[[0] * len(row) for row in rows],
        targets=targets.float() if task.kind == "regression" else targets,
    )


def task_net(task: Task[Any], *, seed: int = 0) -> Supernet:
    """With a head large enough to tell texts apart."""
    supernet = tiny.tiny_supernet().with_task(task.head("mean"), seed=seed)
    with torch.no_grad():
        supernet.tensors()["task.weight"].mul_(50)
    return supernet


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_members_score_as_the_networks_that_are_taken_from_them(name: str, precision: Any) -> None:
    task = TASKS[name]
    supernet, encoded = task_net(task), examples(task)
    measure: Measure = TaskScores(supernet, task, encoded, batch_size=7)
    for body in tiny.members(supernet.space).values():
        headed = body.with_head(task.head("mean"))
        network = EncoderNetwork.of(headed, supernet.extract(headed)).eval()
        wanted = score_network(runner(network), task, encoded, precision=precision)
        # A member's projections are folded in another order.
        close = 0.08 if precision == "bf16" else 0.03
        assert measure(body, precision) == pytest.approx(wanted, abs=close)
    assert [f.name for f in measure.figures] == list(task.metrics)
    assert not any(f.lower_is_better for f in measure.figures)


def test_figures_have_units() -> None:
    both = Classification(("a", "b"), metrics=("matthews", "accuracy"))
    figures = TaskScores(task_net(both), both, examples(both)).figures
    assert [(f.name, f.unit) for f in figures] == [("matthews", ""), ("accuracy", "share")]


def test_the_data_id_is_the_examples_and_how_they_are_scored() -> None:
    net, base = task_net(CLASSES), examples(CLASSES)
    changes: list[dict[str, Any]] = [
        {"ids": [[2, 9, 3], *base.ids[1:]], "segments": [[0] * 3, *base.segments[1:]]},
        {"segments": [[1] * 12, *base.segments[1:]]},
        {"targets": base.targets.flip(0)},
        {"source": "answers"},
    ]
    others = [dataclasses.replace(base, **change) for change in changes]
    others += [examples(CLASSES, count=39)]
    ids = [TaskScores(net, CLASSES, one).data_id for one in (base, *others)]
    renamed = Classification(("a", "b", "d"))
    ids += [TaskScores(net, renamed, base).data_id]
    assert len(set(ids)) == len(ids)
    assert TaskScores(task_net(CLASSES, seed=1), CLASSES, base, batch_size=3).data_id == ids[0]


def test_what_cannot_be_scored_is_refused() -> None:
    encoded = examples(CLASSES)
    with pytest.raises(InputError, match=r"learned a task of classification .* has no task"):
        TaskScores(tiny.tiny_supernet(), CLASSES, encoded)
    with pytest.raises(InputError, match="must have learned a task of classification"):
        TaskScores(task_net(Regression()), CLASSES, encoded)
    with pytest.raises(InputError, match="there are none"):
        TaskScores(task_net(CLASSES), CLASSES, examples(CLASSES, count=0))
    long = dataclasses.replace(encoded, ids=[[5] * 41], segments=[[0] * 41])
    with pytest.raises(InputError, match="at most the network's 40 tokens"):
        TaskScores(task_net(CLASSES), CLASSES, long)


@pytest.mark.parametrize(
    "task", [Classification(("a", "b"), metrics=("f1", "accuracy")), Regression(), SpanExtraction()]
)
def test_the_task_of_a_checkpoint_is_the_one_it_learned(task: Task[Any]) -> None:
    record = TaskRecord(
        name="any",
        kind=task.kind,
        head=task.head("first"),
        labels=task.labels,
        metrics=task.metrics,
        pairs=False,
        max_length=16,
    )
    found = task_of(record)
    assert type(found) is type(task)
    assert (found.labels, found.metrics) == (task.labels, task.metrics)
