"""Rows of the store's tables, and the conditions that find them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from fleetfit import Job, Measurement, dumps
from profiler.schema import MEASUREMENTS

__all__ = [
    "Row",
    "columns_of",
    "insert_ranked",
    "key_of",
    "matching",
    "next_repeat",
    "reference_key_of",
    "row_of",
    "same_key",
]

Row = dict[str, Any]
"""Column to value, without the number that the database gives."""

_RANK: Final = {"ok": 0, "noisy": 1, "unstable": 2}
"""Statuses, the best first."""


def row_of(measurement: Measurement, *, repeat: int, text: str | None = None) -> Row:
    """The row of a measurement; ``text`` where it is stored already: it stays as it was written."""
    job, device = measurement.job, measurement.device
    text = dumps(measurement) if text is None else text
    return key_of(job, device.name, measurement.versions) | {
        "repeat": repeat,
        "device_class": device.device_class,
        "protocol": job.protocol,
        "status": measurement.status,
        "measured_at": measurement.measured_at,
        "digest": hashlib.sha256(text.encode()).hexdigest(),
        "measurement": text,
    }


def next_repeat(connection: Connection, row: Mapping[str, Any]) -> int:
    """The number after the last of the same job, device name and versions; 0 for the first."""
    last = sa.select(sa.func.max(MEASUREMENTS.c.repeat)).where(*same_key(MEASUREMENTS, row))
    found = connection.scalar(last)
    return 0 if found is None else int(found) + 1


def insert_ranked(connection: Connection, row: Row, *, newest: bool) -> None:
    """Insert a measurement beside those of its job, device name and versions; none is lost.

    The one of the best status is the measurement (repeat 0), the other becomes its next repeat. Of
    equals the new one is the measurement where ``newest``, else the one that is there.
    """
    here = (*same_key(MEASUREMENTS, row), MEASUREMENTS.c.repeat == 0)
    known = connection.scalar(sa.select(MEASUREMENTS.c.status).where(*here))
    repeat = 0 if known is None else next_repeat(connection, row)
    if known is not None and _RANK[row["status"]] < _RANK[known] + newest:
        connection.execute(sa.update(MEASUREMENTS).where(*here).values(repeat=repeat))
        repeat = 0
    connection.execute(MEASUREMENTS.insert().values(row | {"repeat": repeat}))


def matching(table: sa.Table, values: Mapping[str, Any]) -> tuple[sa.ColumnElement[bool], ...]:
    """Conditions: each of these columns has its value."""
    return tuple(table.c[name] == value for name, value in values.items())


def columns_of(table: sa.Table) -> list[sa.Column[Any]]:
    """Those of a Row."""
    return [column for column in table.columns if column.name != "id"]


def key_of(job: Job, device_name: str, versions: Mapping[str, str]) -> Row:
    """Columns that tell measurements and visits apart, beside the number of a repeat."""
    return {"job_id": job.id, "device_name": device_name, "versions": dumps(dict(versions))}


def same_key(table: sa.Table, row: Mapping[str, Any]) -> tuple[sa.ColumnElement[bool], ...]:
    """Conditions: the same job, device name and versions."""
    return matching(table, {name: row[name] for name in ("job_id", "device_name", "versions")})


def reference_key_of(device_name: str, target_id: str, versions: Mapping[str, str]) -> Row:
    """Columns that tell readings of the reference network apart."""
    return {
        "device_name": device_name,
        "target_id": target_id,
        "versions": dumps(dict(versions)),
    }
