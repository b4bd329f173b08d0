"""A fine-tuned network on disk, before it is exported: weights, labels, tokenizer, scores."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from fleetfit.architecture import Architecture
from fleetfit.codec import dumps, loads
from fleetfit.errors import InputError
from fleetfit.files import new_directory, read_text, write_bytes, write_text
from fleetfit.weights import Weights, check_weights

__all__ = ["TaskModel", "read_task_model", "write_task_model"]


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskModel:
    """What ``model.json`` holds."""

    architecture: Architecture
    labels: tuple[str, ...]
    max_length: int
    task: str
    """Name of the training file, as in ``banking77 train.csv``."""
    dev_accuracy: float
    test_accuracy: float | None = None
    licences: dict[str, str] = field(default_factory=dict)
    provenance: dict[str, str] = field(default_factory=dict)


def write_task_model(path: Path, model: TaskModel, weights: Weights, tokenizer: Path) -> None:
    """Write the directory ``path``, which must be new or empty."""
    check_weights(model.architecture, weights)
    with new_directory(path) as new:
        ordered = {name: np.ascontiguousarray(value) for name, value in weights.items()}
        write_bytes(new / "encoder.safetensors", save(ordered))
        write_text(new / "model.json", dumps(model) + "\n")
        shutil.copyfile(tokenizer, new / "tokenizer.json")


def read_task_model(path: Path) -> tuple[TaskModel, dict[str, npt.NDArray[np.float32]]]:
    """The model and its weights; raises InputError where a file is missing or damaged."""
    model = loads(TaskModel, read_text(path / "model.json", "A fine-tuned model's model.json"))
    try:
        weights = load_file(path / "encoder.safetensors")
    except (SafetensorError, OSError, ValueError) as exc:
        raise InputError(
            f"{path / 'encoder.safetensors'} must be a whole safetensors file, but: {exc}; "
            "fine-tune again."
        ) from exc
    try:
        check_weights(model.architecture, weights)
    except InputError as exc:
        raise InputError(f"{path / 'encoder.safetensors'}: {exc}") from exc
    return model, weights
