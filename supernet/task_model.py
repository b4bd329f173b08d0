"""A fine-tuned network on disk, before it is exported: weights, labels, tokenizer, scores."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
from safetensors.numpy import save

from fleetfit.architecture import Architecture
from fleetfit.codec import dumps, loads
from fleetfit.errors import InputError
from fleetfit.files import new_directory, read_text, write_bytes, write_text
from fleetfit.weights import Weights, check_weights
from supernet.checkpoint import read_safetensors

__all__ = ["TaskModel", "read_task_model", "write_task_model"]


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskModel:
    """What ``model.json`` holds."""

    architecture: Architecture
    labels: tuple[str, ...]
    max_length: int
    task: str
    """Name of the training file, as in ``train.csv``."""
    dev_accuracy: float
    test_accuracy: float | None = None
    licences: dict[str, str] = field(default_factory=dict)
    provenance: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Labels, length and accuracies fit the architecture and their ranges."""
        outputs = self.architecture.head.outputs
        if len(self.labels) != outputs or len(set(self.labels)) != outputs:
            raise InputError(
                f"A fine-tuned model must have {outputs} different labels for its head, but got "
                f"{len(self.labels)} ({len(set(self.labels))} different)."
            )
        positions = self.architecture.embedding.max_positions
        if not 3 <= self.max_length <= positions:
            raise InputError(
                f"`3 <= max_length <= {positions}` must hold for this model, got {self.max_length}."
            )
        for accuracy in (self.dev_accuracy, self.test_accuracy):
            if accuracy is not None and not 0 <= accuracy <= 1:
                raise InputError(f"An accuracy must be from 0 to 1, but got {accuracy}.")


def write_task_model(path: Path, model: TaskModel, weights: Weights, tokenizer: Path) -> None:
    """Write the directory ``path``, which must be new or empty."""
    check_weights(model.architecture, weights)
    words = read_text(tokenizer, "A tokenizer")
    with new_directory(path) as new:
        ordered = {name: np.ascontiguousarray(value) for name, value in weights.items()}
        write_bytes(new / "encoder.safetensors", save(ordered))
        write_text(new / "model.json", dumps(model) + "\n")
        write_text(new / "tokenizer.json", words)


def read_task_model(path: Path) -> tuple[TaskModel, dict[str, npt.NDArray[np.float32]]]:
    """The model and its weights; raises InputError where a file is missing or damaged."""
    described, stored = path / "model.json", path / "encoder.safetensors"
    text = read_text(described, "A fine-tuned model's model.json")
    try:
        model = loads(TaskModel, text)
    except InputError as exc:
        raise InputError(f"{described} must describe a fine-tuned model: {exc}") from exc
    tensors = read_safetensors(stored)
    try:
        weights = {name: value.numpy() for name, value in tensors.items()}
        check_weights(model.architecture, weights)
    except (InputError, TypeError) as exc:  # numpy has no bf16
        raise InputError(f"{stored}: {exc}") from exc
    return model, weights
