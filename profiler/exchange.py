"""Everything that a store holds, and putting it into another one without duplicates."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from fleetfit import InputError, Measurement, loads
from profiler.checked import (
    checked_measurement,
    checked_quality,
    checked_reference,
    checked_visit,
)
from profiler.rows import Row, columns_of, insert_ranked, same_key
from profiler.schema import MEASUREMENTS, QUALITIES, REFERENCES, TABLES, VISITS
from profiler.store import Store

__all__ = ["Contents", "Merged", "contents_of", "merge"]

_KEY = ("job_id", "device_name", "versions")


@dataclass(frozen=True, kw_only=True, slots=True)
class Contents:
    """Rows of each table in the order of writing, without their numbers."""

    measurements: tuple[Row, ...] = ()
    visits: tuple[Row, ...] = ()
    qualities: tuple[Row, ...] = ()
    references: tuple[Row, ...] = ()

    @classmethod
    def checked(cls, rows: Mapping[str, Iterable[Mapping[str, Any]]]) -> Self:
        """Of rows by the names of the tables; raises InputError for one that does not hold."""
        checked = cls(
            measurements=tuple(map(checked_measurement, rows["measurements"])),
            visits=tuple(map(checked_visit, rows["visits"])),
            qualities=tuple(map(checked_quality, rows["qualities"])),
            references=tuple(map(checked_reference, rows["reference_readings"])),
        )
        numbered = Counter((_key(row), row["repeat"]) for row in checked.measurements)
        twice = [key for key, count in numbered.items() if count > 1]
        if twice:
            raise InputError(f"A measurement must stand there once, but {twice[0]} is twice.")
        return checked

    def by_table(self) -> dict[str, tuple[Row, ...]]:
        """The rows by the names of the tables."""
        return {
            "measurements": self.measurements,
            "visits": self.visits,
            "qualities": self.qualities,
            "reference_readings": self.references,
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class Merged:
    """How many rows a merge added to each table."""

    measurements: int = 0
    repeats: int = 0
    """Of the same job, device and versions with other content; the worse of two is kept beside."""
    completed: int = 0
    """Measurements that were there without their memory, which came with the merge."""
    known: int = 0
    """Measurements that were there already."""
    visits: int = 0
    qualities: int = 0
    references: int = 0


def contents_of(store: Store) -> Contents:
    """Everything in ``store``, at one moment; raises InputError where a row is damaged."""
    found: dict[str, list[Row]] = {}
    with store.database.reading() as connection:
        for table in TABLES:
            query = sa.select(*columns_of(table)).order_by(*table.primary_key)
            found[table.name] = [dict(row) for row in connection.execute(query).mappings()]
    try:
        return Contents.checked(found)
    except InputError as exc:
        raise InputError(
            f"Every row of the store {store.name} must be readable, but one is not: {exc} "
            "Restore it from a copy."
        ) from exc


def merge(store: Store, contents: Contents) -> Merged:
    """Put ``contents`` into ``store``: all of it or, on an error or a kill, nothing.

    A measurement that is there already is not put in again, so a second merge changes nothing. One
    of the same job, device and versions with other content stands beside the one that is there: the
    better by status, of equals the one that is there, is the measurement, the other its next A/A
    repeat. Where only the memory is new it joins the one that is there. Of two qualities under one
    name the one in the store stays. Readings of the reference come only for a device, target and
    versions that have none: which of two is newer is not known, and old ones must not pass for how
    fast the machine is now.
    """
    with store.database.writing() as connection:
        counts = _add_measurements(connection, contents.measurements)
        counts["visits"] = _add_visits(connection, contents.visits)
        names = ("key", "architecture_id", "precision")
        counts["qualities"] = _insert_new(connection, QUALITIES, contents.qualities, names)
        counts["references"] = _add_references(connection, contents.references)
    return Merged(**counts)


def _add_measurements(connection: Connection, rows: tuple[Row, ...]) -> Counter[str]:
    digests = set(connection.scalars(sa.select(MEASUREMENTS.c.digest)))  # before anything is added
    keys = _known(connection, MEASUREMENTS, _KEY)
    unfinished = _known(connection, VISITS, _KEY)
    unknown = [row for row in rows if row["digest"] not in digests]
    new = [row for row in unknown if _key(row) not in keys]
    _insert(connection, MEASUREMENTS, new)  # with the numbers they had
    counts = Counter("repeats" if row["repeat"] else "measurements" for row in new)
    counts["known"] = len(rows) - len(unknown)
    for row in unknown:
        if _key(row) in keys:
            counts[_add_beside(connection, row)] += 1
        if _key(row) in unfinished:
            connection.execute(sa.delete(VISITS).where(*same_key(VISITS, row)))
    return counts


def _add_beside(connection: Connection, row: Row) -> str:
    """Add a measurement to those of its job, device and versions; says as what."""
    query = sa.select(MEASUREMENTS.c.id, MEASUREMENTS.c.measurement)
    theirs = loads(Measurement, row["measurement"])
    for number, text in connection.execute(query.where(*same_key(MEASUREMENTS, row))).all():
        ours = loads(Measurement, text)
        if _without_memory(ours) != _without_memory(theirs):
            continue
        if theirs in (ours, _without_memory(ours)):
            return "known"
        if ours == _without_memory(ours):
            update = sa.update(MEASUREMENTS).where(MEASUREMENTS.c.id == number)
            connection.execute(update.values(row | {"repeat": MEASUREMENTS.c.repeat}))
            return "completed"
    insert_ranked(connection, row, newest=False)
    return "repeats"


def _add_visits(connection: Connection, rows: tuple[Row, ...]) -> int:
    """Visits of configurations that are still unfinished here."""
    done = _known(connection, MEASUREMENTS, _KEY)
    open_rows = tuple(row for row in rows if _key(row) not in done)
    return _insert_new(connection, VISITS, open_rows, (*_KEY, "visit"))


def _add_references(connection: Connection, rows: tuple[Row, ...]) -> int:
    names = ("device_name", "target_id", "versions")
    there = _known(connection, REFERENCES, names)
    new = [row for row in rows if _values(row, names) not in there]
    _insert(connection, REFERENCES, new)
    return len(new)


def _insert_new(
    connection: Connection, table: sa.Table, rows: tuple[Row, ...], names: tuple[str, ...]
) -> int:
    """Insert the first row of each value of the columns ``names`` that is not there yet."""
    there = _known(connection, table, names)
    new: list[Row] = []
    for row in rows:
        if _values(row, names) not in there:
            there.add(_values(row, names))
            new.append(row)
    _insert(connection, table, new)
    return len(new)


def _insert(connection: Connection, table: sa.Table, rows: list[Row]) -> None:
    """All at once: nobody else writes meanwhile, and a server far away answers once."""
    if rows:
        connection.execute(table.insert(), rows)


def _known(
    connection: Connection, table: sa.Table, names: tuple[str, ...]
) -> set[tuple[object, ...]]:
    """Values of the columns ``names`` that stand in ``table``."""
    query = sa.select(*(table.c[name] for name in names)).distinct()
    return {tuple(row) for row in connection.execute(query)}


def _values(row: Mapping[str, Any], names: tuple[str, ...]) -> tuple[object, ...]:
    return tuple(row[name] for name in names)


def _key(row: Mapping[str, Any]) -> tuple[object, ...]:
    return _values(row, _KEY)


def _without_memory(measurement: Measurement) -> Measurement:
    return dataclasses.replace(
        measurement, memory_bytes=None, memory_above_imports_bytes=None, memory=()
    )
