"""The task's metrics of an exported model: what runs is scored, not what was trained."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from exporters import Session
from exporters.text import TextEncoder
from fleetfit import InputError, Workload

if TYPE_CHECKING:
    from supernet.spaces import TaskRecord
    from supernet.task_model import TaskModel
    from supernet.tasks import Encoded

__all__ = ["Examples", "LabelledFile", "read_examples", "score_session"]

Progress = Callable[[int, int, str], None]
Inputs = dict[str, npt.NDArray[np.int64]]


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelledFile:
    """A file to score a model on, and how it is read.

    A file of questions in SQuAD's layout for a model that finds spans; else a table.
    """

    path: Path
    text: str = "text"
    pair: str | None = None
    """Column of the second text."""
    label: str = "label"
    task: str | None = None
    """A GLUE task, in whose layout the file is; the columns are then unused."""


def score_session(
    session: Session,
    model: TaskModel,
    examples: Examples,
    *,
    progress: Progress = lambda done, total, note: None,
) -> dict[str, float]:
    """Every metric of the model's task, in the session's own precision.

    Texts and pairs go through the tokenisation that the bundle will have, in its groups.
    """
    encoded, logits = examples.encoded, []
    for rows in examples.groups(range(len(encoded))):
        progress(rows[0], len(encoded), "scoring the exported model")
        values = session.run(examples.inputs(rows))["logits"]
        for row, found in zip(rows, values, strict=False):  # a fixed batch may be filled up
            logits.append(found[: len(encoded.ids[row])] if model.kind == "span" else found)
    return examples.task.score(logits, encoded)


class Examples:
    """A labelled file as a model's task reads it, and as inputs of its exported network.

    Examples run in groups of the workload's batch, as a bundle runs texts: with scales of each run
    (int8_dynamic) a row's answer depends on its group.
    """

    def __init__(
        self,
        model: TaskModel,
        tokenizer: Path,
        file: LabelledFile,
        workload: Workload,
        *,
        fixed: bool = False,
    ) -> None:
        """``fixed``: every group is padded to the workload's batch and length.

        Raises InputError for a file that is not of the model's task.
        """
        from supernet.checkpoint import load_tokenizer
        from supernet.tasks import task_of

        self.task, self._data = task_of(model), read_examples(file, model)
        self.encoded = self.task.encode(self._data, load_tokenizer(tokenizer), model.max_length)
        text = tokenizer.read_text(encoding="utf-8")
        self._encoder = TextEncoder(text, max_length=model.max_length)
        self._spans = model.kind == "span"
        self._batch, self._seq_len = workload.batch, workload.seq_len if fixed else None

    def groups(self, rows: Sequence[int]) -> list[list[int]]:
        """``rows`` in the groups that run at once."""
        return [list(rows[i : i + self._batch]) for i in range(0, len(rows), self._batch)]

    def inputs(self, rows: Sequence[int]) -> Inputs:
        """One group as the bundle will tokenise it; a fixed batch is filled up with its first."""
        missing = 0 if self._seq_len is None else self._batch - len(rows)
        rows = [*rows, *[rows[0]] * missing]
        if self._spans:
            return _rows(self.encoded, rows, self._seq_len)
        pairs, texts = self._data.pairs, self._data.texts
        seconds = None if pairs is None else [pairs[row] for row in rows]
        return self._encoder.encode([texts[row] for row in rows], seconds, seq_len=self._seq_len)

    def spread(self, count: int) -> list[Inputs]:
        """The inputs of at most ``count`` examples, spread evenly over the file, in groups."""
        total = len(self.encoded)
        rows = np.unique(np.linspace(0, total - 1, min(count, total)).astype(int)).tolist()
        return [self.inputs(group) for group in self.groups(rows)]


def read_examples(file: LabelledFile, model: TaskModel | TaskRecord) -> Any:
    """The examples of a file as the task of ``model`` takes them.

    Raises InputError for a file that is not of that task.
    """
    from supernet import tasks

    if model.kind == "span" and file.task in (None, "squad"):
        return tasks.read_squad(file.path)
    if file.task is not None:
        data = tasks.read_glue_file(file.task, file.path)
    else:
        columns = tasks.Columns(text=file.text, pair=file.pair, label=file.label)
        if model.kind == "regression":
            data = tasks.read_numbered(file.path, columns)
        else:
            data = tasks.read_labelled(file.path, columns, names=model.labels)
    kind = "regression" if isinstance(data, tasks.NumberedTexts) else "classification"
    if kind != model.kind or getattr(data, "names", ()) != model.labels:
        raise InputError(
            f"{file.path} must be of the kind of task that was learned, {model.kind}, with its "
            f"labels, but the task {file.task} is another; name the columns or another --task."
        )
    if (data.pairs is not None) != model.pairs:
        wanted = "pairs of texts" if model.pairs else "single texts"
        raise InputError(
            f"{file.path} must be read as {wanted}, as the model was trained; name the columns "
            "(--pair-column) or the --task."
        )
    return data


def _rows(encoded: Encoded, rows: Sequence[int], seq_len: int | None) -> Inputs:
    batch = encoded.batch(rows)
    named = {
        "input_ids": batch.input_ids,
        "attention_mask": batch.attention_mask,
        "token_type_ids": batch.token_type_ids,
    }
    room = 0 if seq_len is None else seq_len - batch.input_ids.shape[1]
    return {name: np.pad(value.numpy(), ((0, 0), (0, room))) for name, value in named.items()}
