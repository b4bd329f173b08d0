"""Which task the options name, and where its examples are."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fleetfit import InputError
from search.cli.console import say
from search.cli.options import refuse_alone
from search.scoring import LabelledFile

if TYPE_CHECKING:
    from supernet.tasks import EncodedParts, TaskSource

__all__ = ["TaskOptions", "labelled_files", "tell"]

_MANY_LABELS = 10


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskOptions:
    """The options of that name, as the user gave them."""

    task: str | None
    data: Path | None
    train: Path | None
    test: Path | None
    text_column: str | None
    pair_column: str | None
    label_column: str | None
    regression: bool

    def read(self) -> TaskSource:
        """The task and its examples; raises InputError where options contradict each other."""
        from supernet import tasks

        self._check_name()
        self._check()
        if self.task == "squad":
            return tasks.read_questions(self._need("train"), self.test)
        if self.task is not None:
            return tasks.read_glue(self.task, self._need("data"), test=self.test)
        columns = tasks.Columns(
            text=self.text_column or "text",
            pair=self.pair_column,
            label=self.label_column or "label",
        )
        train = self._need("train")
        return tasks.read_table(train, self.test, columns, regression=self.regression)

    def _check(self) -> None:
        if self.task is None and self.data is not None:
            raise InputError("--data must come with --task, as in sst2; else give --train.")
        columns = (self.text_column, self.pair_column, self.label_column)
        if self.task is not None:
            _refuse_columns(*columns, self.regression or None)
        unused = self.train if self.task not in (None, "squad") else None
        if self.task == "squad":
            unused = self.data
        if unused is not None:
            right = "--train" if self.task == "squad" else "--data"
            raise InputError(
                f"--task {self.task} must be given {right} alone, but got {unused} too."
            )

    def _check_name(self) -> None:
        from supernet.tasks import GLUE_TASKS

        known = (*GLUE_TASKS, "squad")
        if self.task is not None and self.task not in known:
            plain = re.sub(r"\W|_", "", self.task).lower()
            near = f"; perhaps {plain} is meant" if plain in known else ""
            raise InputError(f"--task must be one of {', '.join(known)}, got {self.task!r}{near}.")
        if self.task is None and self.train is not None and self.train.suffix == ".json":
            raise InputError(
                f"--train must be a CSV or TSV, but got {self.train}; for questions in SQuAD's "
                "layout add --task squad."
            )

    def _need(self, name: str) -> Path:
        found: Path | None = getattr(self, name)
        if found is None:
            what = {"data": "GLUE's folder", "train": "the file to learn from"}[name]
            raise InputError(f"--{name} must be given: {what}.")
        return found


def labelled_files(
    *,
    test: Path | None,
    calibration: Path | None,
    task: str | None,
    text_column: str | None,
    pair_column: str | None,
    label_column: str | None,
) -> tuple[LabelledFile | None, LabelledFile | None]:
    """What ``--test``, ``--calibration`` and the options about both name.

    Raises InputError for an option in vain.
    """
    columns = (text_column, pair_column, label_column)
    if test is None and calibration is None:
        named = dict(zip(("text_column", "pair_column", "label_column"), columns, strict=True))
        refuse_alone("--test or --calibration", task=task, **named)
    if task is not None:
        _refuse_columns(*columns)

    def file(path: Path | None) -> LabelledFile | None:
        if path is None:
            return None
        return LabelledFile(
            path=path,
            text=text_column or "text",
            pair=pair_column,
            label=label_column or "label",
            task=task,
        )

    return file(test), file(calibration)


def _refuse_columns(*given: object) -> None:
    if any(value is not None for value in given):
        raise InputError(
            "--task knows its columns and labels: leave out --text-column, --pair-column, "
            "--label-column and --regression."
        )


def tell(source: TaskSource, parts: EncodedParts, max_length: int) -> None:
    """One line for each thing that a user might not expect of the examples."""
    _tell_cut(source, parts, max_length)
    _tell_numbers(source)
    if source.held_out:
        say(
            f"{len(source.test)} of {len(source)} examples are kept apart as test: there is no "
            "file for it."
        )


def _tell_cut(source: TaskSource, parts: EncodedParts, max_length: int) -> None:
    if not parts.cut:
        return
    if source.task.kind == "span":
        how = (
            "contexts are read in overlapping windows (--max-length), questions cut at half of one."
        )
    elif source.pairs:
        how = "the longer text of each pair is cut at its end (--max-length)."
    else:
        how = "they are cut at their end (--max-length)."
    say(f"{parts.cut} of {len(source)} examples are longer than {max_length} tokens: {how}")


def _tell_numbers(source: TaskSource) -> None:
    labels = source.task.labels
    if len(labels) > _MANY_LABELS and all(_is_number(label) for label in labels):
        say(
            f"{len(labels)} labels look like numbers and are learned as classes; --regression "
            "learns them as numbers."
        )


def _is_number(label: str) -> bool:
    try:
        float(label)
    except ValueError:
        return False
    return True
