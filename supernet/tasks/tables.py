"""Texts with labels or numbers from a CSV or TSV file."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fleetfit.errors import InputError
from fleetfit.files import read_text
from supernet.tasks.data import LabelledTexts, NumberedTexts

__all__ = ["Columns", "read_column", "read_labelled", "read_numbered"]


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


class _Tabs(csv.excel_tab):
    """TSV without quoting, as GLUE's files are."""

    quoting = csv.QUOTE_NONE


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


def read_column(path: Path, column: str) -> list[str]:
    """The texts of one column of a CSV or TSV, blank ones left out."""
    rows = _read_rows(path, tabs=_is_tabs(path))
    _check_column(rows[0], column, path)
    return [row[column] for row in rows if row[column]]


def _labelled_rows(path: Path, columns: Columns) -> list[dict[str, str]]:
    tabs = columns.tabs or _is_tabs(path)
    rows = _read_rows(path, tabs=tabs, header=columns.header)
    wanted = [columns.text, columns.label]
    if columns.pair is not None:
        wanted.insert(1, columns.pair)
    for column in wanted:
        _check_column(rows[0], column, path)
    for number, row in enumerate(rows, start=1):
        empty = [column for column in wanted if row[column] is None]
        empty += [columns.label] if row[columns.label] == "" else []
        if empty:
            raise InputError(
                f"Every row of {path} must have a {empty[0]!r}, but row {number} has none; fill it "
                "in or leave the row out."
            )
    return rows


def _is_tabs(path: Path) -> bool:
    return path.suffix.lower() == ".tsv"


def _read_rows(
    path: Path, *, tabs: bool, header: Sequence[str] | None = None
) -> list[dict[str, str]]:
    content = io.StringIO(read_text(path, "A table of texts"), newline="")
    dialect = _Tabs if tabs else csv.excel
    limit = csv.field_size_limit(2**31 - 1)  # a long document is cut in tokens, not refused
    try:
        rows = list(csv.DictReader(content, fieldnames=header, dialect=dialect))
    except csv.Error as exc:
        raise InputError(f"{path} must be a CSV or TSV file, but: {exc}.") from exc
    finally:
        csv.field_size_limit(limit)
    if not rows:
        raise InputError(f"{path} must hold a header line and rows, but it holds none.")
    return rows


def _check_column(row: dict[str, str], column: str, path: Path) -> None:
    if column not in row:
        have = ", ".join(str(c) for c in row)
        raise InputError(
            f"{path} must have a column {column!r}, but it has: {have}; name the one that is "
            "meant, as with --label-column."
        )


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
