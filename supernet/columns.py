"""Texts of a file, one by one: lines, or a column of a CSV or TSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path

from fleetfit.errors import InputError
from fleetfit.files import read_text
from supernet.text import read_lines

__all__ = ["check_column", "is_tabs", "read_column", "read_rows", "read_texts"]


class _Tabs(csv.excel_tab):
    """TSV without quoting, as GLUE's files are."""

    quoting = csv.QUOTE_NONE


def read_texts(path: Path, column: str) -> Iterator[str]:
    """The lines of a text (plain, .xz, .gz), or ``column`` of a CSV or TSV, blank ones left out.

    Raises InputError where there is none, and for a file that is no text.
    """
    table = path.suffix.lower() in (".csv", ".tsv")
    empty = True
    for text in read_column(path, column) if table else read_lines(path):
        empty = False
        yield text
    if empty:
        raise InputError(f"{path} must hold text, but it is empty.")


def read_column(path: Path, column: str) -> list[str]:
    """The texts of one column of a CSV or TSV, blank ones left out."""
    rows = read_rows(path, tabs=is_tabs(path))
    check_column(rows[0], column, path)
    return [row[column] for row in rows if row[column]]


def is_tabs(path: Path) -> bool:
    """Whether a file is a TSV by its name."""
    return path.suffix.lower() == ".tsv"


def read_rows(
    path: Path, *, tabs: bool, header: Sequence[str] | None = None
) -> list[dict[str, str]]:
    """Rows by column; ``header``: names of the columns, where no first line has them.

    Raises InputError where there are no rows.
    """
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


def check_column(row: dict[str, str], column: str, path: Path) -> None:
    """Raise InputError unless ``row`` has ``column``; names those that it has."""
    if column not in row:
        have = ", ".join(str(c) for c in row)
        raise InputError(
            f"{path} must have a column {column!r}, but it has: {have}; name the one that is "
            "meant, as with --text-column."
        )
