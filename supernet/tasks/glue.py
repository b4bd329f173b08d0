"""The tasks of GLUE (Wang et al. 2019) from its files, each with its own metrics."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from fleetfit.errors import InputError
from supernet.tasks.classification import Classification
from supernet.tasks.data import LabelledTexts, NumberedTexts, split_groups
from supernet.tasks.metrics import ClassMetric
from supernet.tasks.regression import Regression
from supernet.tasks.sources import HELD_OUT, TaskSource
from supernet.tasks.tables import Columns, read_labelled, read_numbered

__all__ = ["GLUE_TASKS", "GlueName", "read_glue", "read_glue_file"]

GlueName = Literal["sst2", "cola", "mrpc", "rte", "stsb", "qnli", "wnli"]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Glue:
    """How a task lies on disk."""

    folder: str
    columns: Columns
    labels: tuple[str, ...] = ("0", "1")
    """Empty for numbers."""
    metrics: tuple[ClassMetric, ...] = ("accuracy",)


def _columns(text: str, pair: str | None = None, label: str = "label") -> Columns:
    return Columns(text=text, pair=pair, label=label, tabs=True)


_ENTAILMENT = ("entailment", "not_entailment")
_TWO = ("sentence1", "sentence2")
GLUE_TASKS: dict[GlueName, _Glue] = {
    "sst2": _Glue(folder="SST-2", columns=_columns("sentence")),
    "cola": _Glue(
        folder="CoLA",
        columns=Columns(text="sentence", header=("source", "label", "mark", "sentence"), tabs=True),
        metrics=("matthews", "accuracy"),
    ),
    "mrpc": _Glue(
        folder="MRPC",
        columns=_columns("#1 String", "#2 String", "Quality"),
        metrics=("f1", "accuracy"),
    ),
    "rte": _Glue(folder="RTE", columns=_columns(*_TWO), labels=_ENTAILMENT),
    "stsb": _Glue(folder="STS-B", columns=_columns(*_TWO, "score"), labels=()),
    "qnli": _Glue(folder="QNLI", columns=_columns("question", "sentence"), labels=_ENTAILMENT),
    "wnli": _Glue(folder="WNLI", columns=_columns(*_TWO)),
}
"""Name to layout and metrics (Wang et al. 2019, table 1)."""


def read_glue(name: str, folder: Path, *, test: Path | None = None) -> TaskSource:
    """``train.tsv`` to learn from, ``dev.tsv`` (or ``test``) to be scored on.

    ``folder`` holds the task's files or a folder of the task's name with them. QNLI without a
    ``train.tsv`` has its dev file split by question: a fifth of the questions is scored on.
    """
    glue = _known(name)
    inside = folder / glue.folder
    place = inside if inside.is_dir() else folder
    whole = name == "qnli" and not (place / "train.tsv").exists()
    needed = ["dev.tsv"] if whole else ["train.tsv", *(["dev.tsv"] if test is None else [])]
    if not all((place / file).is_file() for file in needed):
        raise InputError(
            f"{folder} must hold {glue.folder}/train.tsv and {glue.folder}/dev.tsv for {name}, but "
            "does not; give GLUE's folder."
        )
    groups = None
    if whole:
        read = _read(glue, place / "dev.tsv")
        train, scored = split_groups(read, read.texts, share=HELD_OUT, seed=0)
        if test is not None:
            train, scored = read, _read(glue, test)
    else:
        train = _read(glue, place / "train.tsv")
        scored = _read(glue, place / "dev.tsv" if test is None else test)
    if name == "qnli":
        groups = train.texts
    return TaskSource(
        name=name,
        task=Classification(glue.labels, metrics=glue.metrics) if glue.labels else Regression(),
        train=train,
        test=scored,
        groups=groups,
        pairs=glue.columns.pair is not None,
        held_out=whole and test is None,
    )


def read_glue_file(name: str, path: Path) -> LabelledTexts | NumberedTexts:
    """One file in the layout of the task's dev file."""
    return _read(_known(name), path)


def _known(name: str) -> _Glue:
    if name not in get_args(GlueName):
        raise InputError(
            f"A GLUE task must be one of {', '.join(get_args(GlueName))}, but got {name!r}."
        )
    return GLUE_TASKS[name]  # type: ignore[index]


def _read(glue: _Glue, path: Path) -> LabelledTexts | NumberedTexts:
    if glue.labels:
        return read_labelled(path, glue.columns, names=glue.labels)
    return read_numbered(path, glue.columns)
