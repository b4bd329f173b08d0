"""Labelled texts from a CSV or TSV file."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fleetfit.errors import InputError
from fleetfit.files import read_text

__all__ = ["LabelledTexts", "read_column", "read_labelled", "split"]


@dataclass(frozen=True, kw_only=True)
class LabelledTexts:
    """Texts with their labels as indices into ``names``."""

    texts: tuple[str, ...]
    labels: tuple[int, ...]
    names: tuple[str, ...]
    """All labels, sorted."""

    def __len__(self) -> int:
        """Number of texts."""
        return len(self.texts)


class _Tabs(csv.excel_tab):
    """TSV without quoting, as GLUE's files are."""

    quoting = csv.QUOTE_NONE


def read_labelled(
    path: Path, *, text: str = "text", label: str = "label", names: Sequence[str] | None = None
) -> LabelledTexts:
    """Read a CSV or TSV (by its ending) with a header line and columns ``text`` and ``label``.

    ``names``: the labels of the training data; another one in this file is an InputError.
    """
    rows = _read_rows(path)
    for column in (text, label):
        _check_column(rows[0], column, path)
    if any(row[text] is None or row[label] is None for row in rows):
        raise InputError(f"Every row of {path} must have {text!r} and {label!r}, but one has not.")
    known = tuple(names) if names is not None else tuple(sorted({row[label] for row in rows}))
    index = {name: i for i, name in enumerate(known)}
    odd = next((row[label] for row in rows if row[label] not in index), None)
    if odd is not None:
        raise InputError(f"Labels of {path} must be known from training, but {odd!r} is not.")
    return LabelledTexts(
        texts=tuple(row[text] for row in rows),
        labels=tuple(index[row[label]] for row in rows),
        names=known,
    )


def read_column(path: Path, column: str) -> list[str]:
    """The texts of one column of a CSV or TSV, blank ones left out."""
    rows = _read_rows(path)
    _check_column(rows[0], column, path)
    return [row[column] for row in rows if row[column]]


def _read_rows(path: Path) -> list[dict[str, str]]:
    tabs = path.suffix.lower() == ".tsv"
    content = io.StringIO(read_text(path, "A table of texts"), newline="")
    try:
        rows = list(csv.DictReader(content, dialect=_Tabs if tabs else csv.excel))
    except csv.Error as exc:
        raise InputError(f"{path} must be a CSV or TSV file, but: {exc}.") from exc
    if not rows:
        raise InputError(f"{path} must hold a header line and rows, but it holds none.")
    return rows


def _check_column(row: dict[str, str], column: str, path: Path) -> None:
    if column not in row:
        have = ", ".join(str(c) for c in row)
        raise InputError(f"{path} must have a column {column!r}, but it has: {have}.")


def split(data: LabelledTexts, *, share: float, seed: int) -> tuple[LabelledTexts, LabelledTexts]:
    """Training and dev part; ``share`` of each label goes to the dev part.

    At least one text of a label goes there and one stays; a label's only text stays.
    """
    if not 0 < share < 1:
        raise InputError(f"`0 < share < 1` must hold for the dev part, but got {share}.")
    if len(data.names) < 2:
        raise InputError(
            f"A task must have at least two labels, but the only one is {data.names[0]!r}; name "
            "another column."
        )
    rng = np.random.default_rng(seed)
    labels = np.array(data.labels)
    dev: set[int] = set()
    for label in range(len(data.names)):
        rows = rng.permutation(np.flatnonzero(labels == label))
        if len(rows) > 1:
            held = min(len(rows) - 1, max(1, round(share * len(rows))))
            dev |= {int(r) for r in rows[:held]}
    if not dev:
        raise InputError("A dev part needs a label with at least two texts, but there is none.")
    train_rows = [i for i in range(len(data)) if i not in dev]
    return _take(data, train_rows), _take(data, sorted(dev))


def _take(data: LabelledTexts, rows: Sequence[int]) -> LabelledTexts:
    return LabelledTexts(
        texts=tuple(data.texts[i] for i in rows),
        labels=tuple(data.labels[i] for i in rows),
        names=data.names,
    )
