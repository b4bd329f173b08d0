"""Texts with labels or numbers from a CSV or TSV file."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fleetfit.errors import InputError
from supernet.columns import check_column, is_tabs, read_rows
from supernet.tasks.data import LabelledTexts, NumberedTexts

__all__ = ["Columns", "read_labelled", "read_numbered"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Columns:
    """Which columns of a table matter."""

    text: str = "text"
    label: str = "label"
    pair: str | None = None
    """The second text; None for a task about single texts."""
    header: tuple[str, ...] | None = None
    """Names of all columns, where the file has no header line."""
    tabs: bool = False
    """The file is a TSV whatever its name ends in."""


_SHOWN = 8  # labels in a sentence


def read_labelled(
    path: Path, columns: Columns, *, names: Sequence[str] | None = None
) -> LabelledTexts:
    """Read a CSV or TSV (by its ending) with these columns.

    ``names``: the labels of the training data; another one in this file is an InputError.
    """
    rows = _labelled_rows(path, columns)
    found = [row[columns.label] for row in rows]
    known = tuple(names) if names is not None else tuple(sorted(set(found)))
    index = {name: i for i, name in enumerate(known)}
    odd = next((name for name in found if name not in index), None)
    if odd is not None:
        few = ", ".join(known[:_SHOWN]) + (", ..." if len(known) > _SHOWN else "")
        raise InputError(
            f"Labels of {path} must be those that are learned ({few}), but {odd!r} is not; leave "
            "out its rows, or train with it."
        )
    return LabelledTexts(
        texts=tuple(row[columns.text] for row in rows),
        labels=tuple(index[name] for name in found),
        names=known,
        pairs=_pairs(rows, columns),
    )


def read_numbered(path: Path, columns: Columns) -> NumberedTexts:
    """Read a CSV or TSV whose label column holds numbers; any other content is an InputError."""
    rows = _labelled_rows(path, columns)
    return NumberedTexts(
        texts=tuple(row[columns.text] for row in rows),
        numbers=tuple(_number(row[columns.label], path) for row in rows),
        pairs=_pairs(rows, columns),
    )


def _labelled_rows(path: Path, columns: Columns) -> list[dict[str, str]]:
    tabs = columns.tabs or is_tabs(path)
    rows = read_rows(path, tabs=tabs, header=columns.header)
    wanted = [columns.text, columns.label]
    if columns.pair is not None:
        wanted.insert(1, columns.pair)
    for column in wanted:
        check_column(rows[0], column, path)
    for number, row in enumerate(rows, start=1):
        empty = [column for column in wanted if row[column] is None]
        empty += [columns.label] if row[columns.label] == "" else []
        if empty:
            raise InputError(
                f"Every row of {path} must have a {empty[0]!r}, but row {number} has none; fill it "
                "in or leave the row out."
            )
    return rows


def _pairs(rows: Sequence[dict[str, str]], columns: Columns) -> tuple[str, ...] | None:
    return None if columns.pair is None else tuple(row[columns.pair] for row in rows)


def _number(text: str, path: Path) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise InputError(f"Labels of {path} must be finite numbers, but one is {text!r}.")
    return value
