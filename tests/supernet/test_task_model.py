"""A fine-tuned model on disk: what is written comes back, what is damaged is refused by name."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file
from safetensors.torch import save_file as torch_save

from fleetfit import Head, InputError
from supernet.checkpoint import load_tokenizer
from supernet.task_model import TaskModel, read_task_model, read_teacher, write_task_model
from supernet.tasks import (
    Classification,
    LabelledTexts,
    Regression,
    SpanExtraction,
    Task,
    TaskSource,
    task_of,
)
from tests.conftest import build_tiny_source
from tests.supernet.tiny import arrays, edit_json, random_weights, write_tokenizer

ARCH = build_tiny_source(head=Head(kind="classification", pooling="mean", outputs=2))
MODEL = TaskModel(
    architecture=ARCH,
    kind="classification",
    labels=("a", "b"),
    metrics=("accuracy", "matthews"),
    pairs=False,
    max_length=32,
    task="toy",
    dev={"accuracy": 0.5, "matthews": -0.1},
)


def written(tmp_path: Path) -> Path:
    tokenizer = write_tokenizer(tmp_path / "words.json")
    write_task_model(tmp_path / "out", MODEL, arrays(random_weights(ARCH)), tokenizer)
    return tmp_path / "out"


def test_a_model_comes_back_as_it_was(tmp_path: Path) -> None:
    path = written(tmp_path)
    model, weights = read_task_model(path)
    assert model == MODEL
    given = random_weights(ARCH)
    assert all(np.array_equal(weights[name], given[name].numpy()) for name in given)
    assert (path / "tokenizer.json").read_bytes() == (tmp_path / "words.json").read_bytes()


@pytest.mark.parametrize("name", ["model.json", "encoder.safetensors"])
@pytest.mark.parametrize("how", ["missing", "truncated"])
def test_a_damaged_file_is_refused(tmp_path: Path, name: str, how: str) -> None:
    path = written(tmp_path) / name
    data = path.read_bytes()
    path.unlink()
    if how == "truncated":
        path.write_bytes(data[: len(data) // 2])
    with pytest.raises(InputError, match=r"encoder\.safetensors|model\.json"):
        read_task_model(path.parent)


@pytest.mark.parametrize("how", ["missing", "shape"])
def test_tensors_that_do_not_fit_are_refused_by_name(tmp_path: Path, how: str) -> None:
    path = written(tmp_path)
    tensors = load_file(path / "encoder.safetensors")
    value = tensors.pop("head.output.bias")
    if how == "shape":
        tensors["head.output.bias"] = value[:1]
    save_file(tensors, path / "encoder.safetensors")
    with pytest.raises(InputError, match=r"encoder\.safetensors.*head\.output\.bias"):
        read_task_model(path)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_other_precisions_on_disk_are_refused_by_name(tmp_path: Path, dtype: torch.dtype) -> None:
    path = written(tmp_path) / "encoder.safetensors"
    halves = {name: value.to(dtype) for name, value in random_weights(ARCH).items()}
    torch_save(halves, path)
    with pytest.raises(InputError, match=r"encoder\.safetensors.*(float32|BFloat16)"):
        read_task_model(path.parent)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": ["a"]}, "2 different labels"),
        ({"labels": ["a", "a"]}, "1 different"),
        ({"max_length": 41}, "3 <= max_length <= 40"),
        ({"max_length": 2}, "3 <= max_length"),
        ({"dev": {"accuracy": 1.5, "matthews": 0}}, "accuracy must be from 0 to 1"),
        ({"test": {"accuracy": 1, "matthews": -1.5}}, "matthews must be from -1 to 1"),
        ({"test": {"accuracy": 1}}, "of the metrics"),
        ({"metrics": []}, "metrics of classification must be some of accuracy, f1, matthews"),
        ({"kind": "ranking"}, "one of"),
        ({"kind": "span", "labels": []}, "must have a span head with 2 outputs"),
        ({"kind": "regression", "labels": []}, "classification head with 1 outputs"),
    ],
    ids=str,
)
def test_a_description_that_does_not_fit_is_refused_by_name(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    path = written(tmp_path)
    edit_json(path / "model.json", **change)
    with pytest.raises(InputError, match=rf"model\.json must describe.*{message}"):
        read_task_model(path)


def test_nothing_is_left_after_a_failed_save(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"A tokenizer must be an existing file.*none\.json"):
        write_task_model(
            tmp_path / "out", MODEL, arrays(random_weights(ARCH)), tmp_path / "none.json"
        )
    assert list(tmp_path.iterdir()) == []


def test_weights_of_another_architecture_are_not_written(tmp_path: Path) -> None:
    tokenizer = write_tokenizer(tmp_path / "words.json")
    with pytest.raises(InputError, match="fit their architecture"):
        write_task_model(tmp_path / "out", MODEL, {}, tokenizer)
    assert not (tmp_path / "out").exists()


def test_a_model_of_version_0_1_is_read(tmp_path: Path) -> None:
    """The fields as that version wrote them."""
    path = written(tmp_path)
    found = json.loads((path / "model.json").read_text())
    for name in ("kind", "metrics", "pairs", "dev", "test"):
        del found[name]
    old = found | {"dev_accuracy": 0.5, "test_accuracy": 0.25}
    (path / "model.json").write_text(json.dumps(old))
    model, _ = read_task_model(path)
    assert (model.kind, model.metrics, model.pairs) == ("classification", ("accuracy",), False)
    assert (model.dev, model.test) == ({"accuracy": 0.5}, {"accuracy": 0.25})


@pytest.mark.parametrize(
    ("kind", "labels", "metrics"),
    [
        ("classification", ("a", "b"), ("f1", "accuracy")),
        ("regression", (), ("pearson", "spearman")),
        ("span", (), ("f1", "exact_match")),
    ],
)
def test_a_model_says_which_task_it_learned(
    kind: Any, labels: tuple[str, ...], metrics: tuple[str, ...]
) -> None:
    head = {
        "classification": MODEL.architecture.head,
        "regression": Head(kind="classification", pooling="mean", outputs=1),
        "span": Head(kind="span", outputs=2),
    }[kind]
    model = dataclasses.replace(
        MODEL,
        architecture=ARCH.with_head(head),
        kind=kind,
        labels=labels,
        metrics=metrics,
        dev=dict.fromkeys(metrics, 0.5),
    )
    task = task_of(model)
    assert (task.kind, task.labels, task.metrics) == (kind, labels, metrics)
    assert task.head("mean") == head


def test_metrics_of_another_task_are_refused(tmp_path: Path) -> None:
    path = written(tmp_path)
    edit_json(path / "model.json", metrics=["pearson"], dev={"pearson": 0.5})
    with pytest.raises(InputError, match=r"model\.json .*metrics .*'pearson'"):
        read_task_model(path)


def source(task: Task[Any], *, pairs: bool = False) -> TaskSource:
    data = LabelledTexts(texts=("a",), labels=(0,), names=task.labels)
    return TaskSource(name="t", task=task, train=data, pairs=pairs)


def test_a_model_of_the_same_task_may_teach(tmp_path: Path) -> None:
    path = written(tmp_path)
    tokenizer = load_tokenizer(path / "tokenizer.json")
    teacher = read_teacher(path, source(Classification(("a", "b"))), tokenizer, weight=2.0)
    assert teacher.weight == 2.0
    weights, given = teacher.network.weights(), random_weights(ARCH)
    assert all(np.array_equal(weights[name], given[name].numpy()) for name in given)


@pytest.mark.parametrize(
    ("asked", "named"),
    [
        (source(Classification(("a", "c"))), "task's 2 labels, but .* has 2 and differs in 'b'"),
        (source(Classification(("b", "a"))), "differs in 'their order'"),
        (source(Classification(("a", "b")), pairs=True), "does classification of single texts"),
        (source(Regression()), "the same kind of task"),
        (source(SpanExtraction(), pairs=True), "the same kind of task"),
    ],
)
def test_a_model_of_another_task_may_not_teach(
    tmp_path: Path, asked: TaskSource, named: str
) -> None:
    path = written(tmp_path)
    tokenizer = load_tokenizer(path / "tokenizer.json")
    with pytest.raises(InputError, match=named):
        read_teacher(path, asked, tokenizer, weight=1.0)


def test_a_model_of_another_vocabulary_may_not_teach(tmp_path: Path) -> None:
    path = written(tmp_path)
    text = (path / "tokenizer.json").read_text().replace('"w00"', '"w000"')
    (tmp_path / "other.json").write_text(text)
    other = load_tokenizer(tmp_path / "other.json")
    with pytest.raises(InputError, match="vocabulary of the network that learns"):
        read_teacher(path, source(Classification(("a", "b"))), other, weight=1.0)
