"""Everything that a store holds, and putting it into another one without duplicates."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from fleetfit import InputError, Measurement, dumps, loads
from profiler.checked import (
    checked_measurement,
    checked_quality,
    checked_reference,
    checked_visit,
)
from profiler.rows import Row, columns_of, matching, next_repeat, same_key
from profiler.schema import MEASUREMENTS, QUALITIES, REFERENCES, TABLES, VISITS
from profiler.store import Store

__all__ = ["Contents", "Merged", "contents_of", "merge"]


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
    """Measurements of the same job, device and versions with other content, kept beside."""
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
    of the same job, device and versions with other content becomes the next A/A repeat; where only
    the memory is new it joins the one that is there. Of two qualities under one name the one in the
    store stays. Readings of the reference are added where there are fewer of the same value.
    """
    with store.database.writing() as connection:
        counts = _add_measurements(connection, contents.measurements)
        counts["visits"] = _add_visits(connection, contents.visits)
        counts["qualities"] = _add_qualities(connection, contents.qualities)
        counts["references"] = _add_references(connection, contents.references)
    return Merged(**counts)


def _add_measurements(connection: Connection, rows: tuple[Row, ...]) -> Counter[str]:
    digests = set(connection.scalars(sa.select(MEASUREMENTS.c.digest)))  # before anything is added
    new_keys = {_key(row) for row in rows} - {
        _key(row) for row in connection.execute(sa.select(*_KEY)).mappings()
    }
    counts: Counter[str] = Counter()
    for row in rows:
        if row["digest"] in digests:
            counts["known"] += 1
            continue
        if _key(row) in new_keys:  # with the numbers it had
            connection.execute(MEASUREMENTS.insert().values(row))
            counts["repeats" if row["repeat"] else "measurements"] += 1
        else:
            counts[_add_beside(connection, row)] += 1
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
    repeat = next_repeat(connection, row)
    connection.execute(MEASUREMENTS.insert().values(row | {"repeat": repeat}))
    return "repeats"


def _add_visits(connection: Connection, rows: tuple[Row, ...]) -> int:
    """Visits of configurations that are still unfinished here."""
    added = 0
    for row in rows:
        done = sa.exists().where(*same_key(MEASUREMENTS, row))
        there = sa.exists().where(*same_key(VISITS, row), VISITS.c.visit == row["visit"])
        if not connection.scalar(sa.select(sa.or_(done, there))):
            connection.execute(VISITS.insert().values(row))
            added += 1
    return added


def _add_qualities(connection: Connection, rows: tuple[Row, ...]) -> int:
    added = 0
    for row in rows:
        names = {name: value for name, value in row.items() if name != "value"}
        if not connection.scalar(sa.select(sa.exists().where(*matching(QUALITIES, names)))):
            connection.execute(QUALITIES.insert().values(row))
            added += 1
    return added


def _add_references(connection: Connection, rows: tuple[Row, ...]) -> int:
    """Two stores that hold the same reading hold copies of it, not two of the same length."""
    query = sa.select(*columns_of(REFERENCES))
    there = Counter(dumps(dict(row)) for row in connection.execute(query).mappings())
    added = 0
    for row in rows:
        text = dumps(row)
        if there[text] > 0:
            there[text] -= 1
        else:
            connection.execute(REFERENCES.insert().values(row))
            added += 1
    return added


_KEY = (MEASUREMENTS.c.job_id, MEASUREMENTS.c.device_name, MEASUREMENTS.c.versions)


def _key(row: Mapping[Any, Any]) -> tuple[str, str, str]:
    return (row["job_id"], row["device_name"], row["versions"])


def _without_memory(measurement: Measurement) -> Measurement:
    return dataclasses.replace(
        measurement, memory_bytes=None, memory_above_imports_bytes=None, memory=()
    )
