"""Everything in a store as one Parquet file.

One row for each row of a table, in order: ``table``, the columns of all tables (null where a table
has no such column), and ``sha256`` over the canonical JSON of the others. The metadata of the file
has the version of this format.
History: 1. the first.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa

from fleetfit import InputError, SurroundingsError, dumps
from fleetfit.files import write_bytes
from profiler.exchange import Contents
from profiler.rows import Row, columns_of
from profiler.schema import TABLES

__all__ = ["FORMAT_VERSION", "read_parquet", "write_parquet"]

FORMAT_VERSION: Final = 1
_KEY: Final = b"fleetfit.store"


def write_parquet(contents: Contents, path: Path) -> None:
    """Write ``contents`` to the file ``path``, whole or not at all."""
    pyarrow, parquet = _pyarrow()
    schema = _schema()
    rows = []
    for table, found in contents.by_table().items():
        for row in found:
            full = dict.fromkeys(schema.names) | {"table": table} | row
            rows.append(full | {"sha256": _digest(full)})
    buffer = io.BytesIO()
    parquet.write_table(pyarrow.Table.from_pylist(rows, schema=schema), buffer, compression="zstd")
    write_bytes(path, buffer.getvalue())


def read_parquet(path: Path) -> Contents:
    """The contents that ``write_parquet`` wrote.

    Raises InputError for a file that is missing, damaged, of another format or edited.
    """
    pyarrow, parquet = _pyarrow()
    try:
        table = parquet.read_table(pyarrow.BufferReader(path.read_bytes()))
        rows = table.to_pylist()
    except (OSError, UnicodeDecodeError, pyarrow.ArrowException) as exc:
        lines = str(exc).splitlines() or [type(exc).__name__]
        raise InputError(
            f"{path} must be a Parquet file that store export wrote, but cannot be read: "
            f"{lines[0].rstrip('.')}."
        ) from exc
    _check_format(table.schema, path)
    found: dict[str, list[Row]] = {one.name: [] for one in TABLES}
    try:
        for row in rows:
            name, plain = _plain(row)
            found[name].append(plain)
        return Contents.checked(found)
    except InputError as exc:
        raise InputError(
            f"{path} must be as store export wrote it, but is not: {exc} Export it again."
        ) from exc


def _pyarrow() -> tuple[Any, Any]:
    """(pyarrow, pyarrow.parquet); heavy, so only where they are used."""
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as exc:
        raise SurroundingsError(
            "pyarrow must be installed for Parquet, but is not: pip install 'fleetfit[tables]'."
        ) from exc
    return pyarrow, parquet


def _schema() -> Any:
    """Of the file, as pyarrow's."""
    pyarrow, _ = _pyarrow()
    kinds = {sa.Integer: pyarrow.int64(), sa.Float: pyarrow.float64()}
    columns = {
        column.name: kinds.get(type(column.type), pyarrow.string())
        for table in TABLES
        for column in columns_of(table)
    }
    named = {"table": pyarrow.string(), **columns, "sha256": pyarrow.string()}
    return pyarrow.schema(named.items(), metadata={_KEY: str(FORMAT_VERSION).encode()})


def _check_format(schema: Any, path: Path) -> None:
    version = (schema.metadata or {}).get(_KEY)
    if version != str(FORMAT_VERSION).encode():
        found = "none" if version is None else version.decode(errors="replace")
        raise InputError(
            f"{path} must be a store's export of format {FORMAT_VERSION}, but has {found}; use the "
            "program that wrote it."
        )
    if not schema.equals(_schema()):
        raise InputError(
            f"{path} must have the columns {', '.join(_schema().names)}, but has "
            f"{', '.join(schema.names)} or other types; export it again."
        )


def _plain(row: Row) -> tuple[str, Row]:
    """(table, row of it) of a row of the file."""
    table = next((one for one in TABLES if one.name == row["table"]), None)
    others = {name: value for name, value in row.items() if name != "sha256"}
    names = [] if table is None else [column.name for column in columns_of(table)]
    given = {name for name, value in others.items() if value is not None}
    if table is None or given != {"table", *names}:
        raise InputError(f"A row must have the columns of its table, but got {sorted(given)}.")
    if row["sha256"] != _digest(others):
        raise InputError(f"A row of {table.name} must have its sha256, but was changed.")
    return table.name, {name: others[name] for name in names}


def _digest(row: Mapping[str, Any]) -> str:
    """SHA-256 of a row without its own."""
    plain = {name: value for name, value in row.items() if name != "sha256"}
    return hashlib.sha256(dumps(plain).encode()).hexdigest()
