"""A fine-tuned network on disk, before it is exported: weights, task, tokenizer, scores."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors.numpy import save

from fleetfit.architecture import Architecture
from fleetfit.codec import check_literals, dumps, from_json
from fleetfit.errors import InputError
from fleetfit.files import new_directory, read_text, write_bytes, write_text
from fleetfit.weights import Weights, check_weights
from supernet.checkpoint import load_tokenizer, read_safetensors
from supernet.finetune import Teacher
from supernet.network import EncoderNetwork
from supernet.spaces import CORRELATIONS, METRICS, is_checkpoint
from supernet.tasks import TaskKind, TaskSource

__all__ = ["TaskModel", "read_task_model", "read_teacher", "write_task_model"]


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskModel:
    """What ``model.json`` holds."""

    architecture: Architecture
    kind: TaskKind
    labels: tuple[str, ...]
    """Of a classification; empty for numbers and spans."""
    metrics: tuple[str, ...]
    """Names of the task's metrics; the first decided the best epoch."""
    pairs: bool
    """Whether the network takes two texts at once."""
    max_length: int
    task: str
    """Name of the training file or task, as in ``train.csv`` or ``sst2``."""
    dev: dict[str, float]
    """Every metric on the part that decided the best epoch; empty for a member of a supernet that
    was not scored.
    """
    test: dict[str, float] | None = None
    """Every metric on a file that decided nothing."""
    licences: dict[str, str] = field(default_factory=dict)
    provenance: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Head, length and scores fit the task and their ranges."""
        check_literals(self)
        self._check_head()
        self._check_metrics()
        positions = self.architecture.embedding.max_positions
        if not 3 <= self.max_length <= positions:
            raise InputError(
                f"`3 <= max_length <= {positions}` must hold for this model, got {self.max_length}."
            )
        for scores in (self.dev, self.test):
            if scores:
                self._check_scores(scores)

    def _check_head(self) -> None:
        head = self.architecture.head
        outputs = head.outputs if self.kind == "classification" else 0
        if len(self.labels) != outputs or len(set(self.labels)) != outputs:
            raise InputError(
                f"A fine-tuned model must have {outputs} different labels for its head, but got "
                f"{len(self.labels)} ({len(set(self.labels))} different)."
            )
        wanted = {
            "classification": ("classification", outputs),
            "regression": ("classification", 1),
            "span": ("span", 2),
        }[self.kind]
        if (head.kind, head.outputs) != wanted:
            raise InputError(
                f"A fine-tuned model for {self.kind} must have a {wanted[0]} head with {wanted[1]} "
                f"outputs, but has {head.kind} with {head.outputs}."
            )

    def _check_metrics(self) -> None:
        known = METRICS[self.kind]
        odd = [name for name in self.metrics if name not in known]
        if not self.metrics or odd:
            raise InputError(
                f"The metrics of {self.kind} must be some of {', '.join(known)}, but got "
                f"{list(self.metrics)}."
            )

    def _check_scores(self, scores: dict[str, float]) -> None:
        if scores.keys() != set(self.metrics):
            raise InputError(
                f"Scores must be of the metrics {list(self.metrics)}, but got {sorted(scores)}."
            )
        for name, value in scores.items():
            lowest = -1 if name in CORRELATIONS else 0
            if not lowest <= value <= 1:
                raise InputError(f"The {name} must be from {lowest} to 1, but got {value}.")


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
        model = from_json(TaskModel, _upgraded(json.loads(text)))
    except (InputError, ValueError, RecursionError) as exc:
        raise InputError(f"{described} must describe a fine-tuned model: {exc}") from exc
    tensors = read_safetensors(stored)
    try:
        weights = {name: value.numpy() for name, value in tensors.items()}
        check_weights(model.architecture, weights)
    except (InputError, TypeError) as exc:  # numpy has no bf16
        raise InputError(f"{stored}: {exc}") from exc
    return model, weights


def read_teacher(path: Path, source: TaskSource, tokenizer: Any, *, weight: float) -> Teacher:
    """The fine-tuned model ``path`` as a teacher of the task of ``source``.

    ``tokenizer``: of the network that learns. Raises InputError for a model of another kind of
    task, other labels or another vocabulary: its answers would mean something else.
    """
    if is_checkpoint(path):
        raise InputError(
            f"A teacher must be one network that finetune wrote, but {path} is a supernet; "
            "fine-tune its largest network alone."
        )
    model, weights = read_task_model(path)
    task = source.task
    if (model.kind, model.pairs) != (task.kind, source.pairs):
        texts = "pairs of texts" if model.pairs else "single texts"
        raise InputError(
            f"A teacher must know the same kind of task, but {path} does {model.kind} of {texts}."
        )
    if model.labels != task.labels:
        theirs = sorted(set(model.labels) ^ set(task.labels)) or ["their order"]
        raise InputError(
            f"A teacher must have the task's {len(task.labels)} labels, but {path} has "
            f"{len(model.labels)} and differs in {theirs[0]!r}; fine-tune it on the same file."
        )
    if load_tokenizer(path / "tokenizer.json").get_vocab() != tokenizer.get_vocab():
        raise InputError(
            f"A teacher must have the vocabulary of the network that learns, but {path} has "
            "another; fine-tune one from the same supernet."
        )
    return Teacher(network=EncoderNetwork.of(model.architecture, weights), weight=weight)


def _upgraded(data: object) -> object:
    """As this version writes it: version 0.1 knew classes of single texts and accuracy only."""
    if not isinstance(data, Mapping) or "dev_accuracy" not in data:
        return data
    rest = {k: v for k, v in data.items() if k not in ("dev_accuracy", "test_accuracy")}
    reached = data.get("test_accuracy")
    return rest | {
        "kind": "classification",
        "metrics": ["accuracy"],
        "pairs": False,
        "dev": {"accuracy": data["dev_accuracy"]},
        "test": None if reached is None else {"accuracy": reached},
    }
