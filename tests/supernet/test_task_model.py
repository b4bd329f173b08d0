"""A fine-tuned model on disk: what is written comes back, what is damaged is refused by name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from fleetfit import Head, InputError
from supernet.task_model import TaskModel, read_task_model, write_task_model
from tests.conftest import build_tiny_source
from tests.supernet.tiny import arrays, random_weights, write_tokenizer

ARCH = build_tiny_source(head=Head(kind="classification", pooling="mean", outputs=2))
MODEL = TaskModel(architecture=ARCH, labels=("a", "b"), max_length=32, task="toy", dev_accuracy=0.5)


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
    with pytest.raises(InputError, match=r"encoder\.safetensors|model\.json|TaskModel"):
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


def test_nothing_is_left_after_a_failed_save(tmp_path: Path) -> None:
    with pytest.raises(Exception, match=r"none\.json|No such file"):
        write_task_model(
            tmp_path / "out", MODEL, arrays(random_weights(ARCH)), tmp_path / "none.json"
        )
    assert list(tmp_path.iterdir()) == []


def test_weights_of_another_architecture_are_not_written(tmp_path: Path) -> None:
    tokenizer = write_tokenizer(tmp_path / "words.json")
    with pytest.raises(InputError, match="fit their architecture"):
        write_task_model(tmp_path / "out", MODEL, {}, tokenizer)
    assert not (tmp_path / "out").exists()
