"""The store: every measurement, the visits of unfinished ones, and qualities, behind one URL."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from types import TracebackType
from typing import Self, TypeVar

import sqlalchemy as sa

from fleetfit import InputError, Job, Measurement, ProtocolName, dumps, loads
from profiler.database import Database
from profiler.migrate import prepare
from profiler.rows import (
    insert_ranked,
    key_of,
    matching,
    next_repeat,
    reference_key_of,
    row_of,
    same_key,
)
from profiler.schema import MEASUREMENTS, QUALITIES, REFERENCES, VISITS
from profiler.visit import Verdict, Visit

__all__ = ["Store"]

T = TypeVar("T")


class Store:
    """Measurements and qualities behind an SQLAlchemy URL, ``sqlite:///path`` as a rule.

    Everything is committed before a method returns, several processes may read and write at once,
    and what comes in an order comes in the order of writing. A corrupt file is an InputError that
    names it; a full or read-only disk or a server that is down is a SurroundingsError, and what was
    stored before stays.
    """

    def __init__(self, url: str, *, create: bool = True) -> None:
        """Open the store, upgrade it where it is of an earlier version, or create it.

        Raises InputError for a bad URL or file, a store of a newer program, and without ``create``
        for one that is not there.
        """
        self.database = Database(url, create=create)
        self.name = self.database.name
        """A file's path, or the URL without its password."""
        self.is_new = prepare(self.database, create=create)
        """Whether it was created just now."""

    def close(self) -> None:
        """Let go of the file."""
        self.database.close()

    def __enter__(self) -> Self:
        """The store itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Let go of the file."""
        self.close()

    def put(self, measurement: Measurement) -> None:
        """Store a measurement and drop the visits it was made of.

        An earlier one of the same job, device name and versions is replaced, its repeats stay.
        """
        row = row_of(measurement, repeat=0)
        with self.database.writing() as connection:
            connection.execute(sa.delete(VISITS).where(*same_key(VISITS, row)))
            replaced = (*same_key(MEASUREMENTS, row), MEASUREMENTS.c.repeat == 0)
            connection.execute(sa.delete(MEASUREMENTS).where(*replaced))
            connection.execute(MEASUREMENTS.insert().values(row))

    def put_better(self, measurement: Measurement) -> None:
        """Store a measurement and drop the visits it was made of; nothing is replaced.

        Of it and an earlier one of the same job, device name and versions the better status is the
        measurement (``ok``, then ``noisy``, then ``unstable``; of equals the new one), and the
        other becomes a repeat.
        """
        row = row_of(measurement, repeat=0)
        with self.database.writing() as connection:
            connection.execute(sa.delete(VISITS).where(*same_key(VISITS, row)))
            insert_ranked(connection, row, newest=True)

    def put_repeat(self, measurement: Measurement) -> int:
        """Store a measurement beside those of the same job, device name and versions.

        Returns its number: 1 for the first A/A repeat of a measurement, 0 where there was none.
        """
        row = row_of(measurement, repeat=0)
        with self.database.writing() as connection:
            row["repeat"] = next_repeat(connection, row)
            connection.execute(MEASUREMENTS.insert().values(row))
        return int(row["repeat"])

    def get(self, job: Job, device_name: str, versions: Mapping[str, str]) -> Measurement | None:
        """The measurement of a job on a device under these versions, if there is one.

        ``versions``: those that decide its cost (``fleetfit.versions_of``). Repeats are left out.
        """
        same = same_key(MEASUREMENTS, key_of(job, device_name, versions))
        query = sa.select(MEASUREMENTS.c.measurement).where(*same, MEASUREMENTS.c.repeat == 0)
        with self.database.reading() as connection:
            text = connection.scalar(query)
        return None if text is None else self.read(Measurement, text)

    def measurements(
        self, *, device_class: str | None = None, protocol: ProtocolName | None = None
    ) -> list[Measurement]:
        """All measurements, oldest first, of one device class or protocol where given.

        Repeats are left out. Those of earlier versions of a runtime are there beside the later.
        """
        query = sa.select(MEASUREMENTS.c.measurement).order_by(MEASUREMENTS.c.id)
        query = query.where(MEASUREMENTS.c.repeat == 0)
        if device_class is not None:
            query = query.where(MEASUREMENTS.c.device_class == device_class)
        if protocol is not None:
            query = query.where(MEASUREMENTS.c.protocol == protocol)
        with self.database.reading() as connection:
            texts = connection.scalars(query).all()
        return [self.read(Measurement, text) for text in texts]

    def count(self) -> int:
        """How many measurements there are; repeats are left out."""
        query = sa.select(sa.func.count()).where(MEASUREMENTS.c.repeat == 0)
        with self.database.reading() as connection:
            return int(connection.scalar(query) or 0)

    def repeated(self) -> list[tuple[Measurement, ...]]:
        """Every measurement that was repeated, with its A/A repeats after it in their order."""
        table = MEASUREMENTS.c
        key = (table.job_id, table.device_name, table.versions)
        again = sa.select(*key).where(table.repeat > 0).distinct().subquery()
        same = (column == again.c[column.name] for column in key)
        query = sa.select(*key, table.measurement).join(again, sa.and_(*same))
        with self.database.reading() as connection:
            rows = connection.execute(query.order_by(*key, table.repeat)).all()
        groups = itertools.groupby(rows, key=lambda row: row[:3])
        return [tuple(self.read(Measurement, row[3]) for row in group) for _, group in groups]

    def add_visit(
        self, job: Job, device_name: str, visit: Visit, versions: Mapping[str, str]
    ) -> int:
        """Store a visit of an unfinished configuration as ``pending``; returns its number."""
        row = key_of(job, device_name, versions) | {"verdict": "pending", "visit": dumps(visit)}
        with self.database.writing() as connection:
            key = connection.execute(VISITS.insert().values(row)).inserted_primary_key
        assert key is not None
        return int(key[0])

    def judge_visits(self, numbers: list[int], verdict: Verdict) -> None:
        """Set the verdict on visits."""
        with self.database.writing() as connection:
            update = sa.update(VISITS).where(VISITS.c.id.in_(numbers))
            connection.execute(update.values(verdict=verdict))

    def visits(
        self, job: Job, device_name: str, versions: Mapping[str, str]
    ) -> list[tuple[int, Verdict, Visit]]:
        """(number, verdict, visit) of an unfinished configuration, oldest first.

        Visits under other runtime versions are left out.
        """
        query = sa.select(VISITS.c.id, VISITS.c.verdict, VISITS.c.visit).order_by(VISITS.c.id)
        query = query.where(*same_key(VISITS, key_of(job, device_name, versions)))
        with self.database.reading() as connection:
            rows = connection.execute(query).all()
        return [(row.id, row.verdict, self.read(Visit, row.visit)) for row in rows]

    def put_quality(self, key: str, architecture_id: str, precision: str, value: float) -> None:
        """Store the quality of an architecture; ``key`` names text, metric and weights."""
        if not math.isfinite(value):
            raise InputError(f"A quality must be a finite number, but got {value}.")
        names = {"key": key, "architecture_id": architecture_id, "precision": precision}
        with self.database.writing() as connection:
            connection.execute(sa.delete(QUALITIES).where(*matching(QUALITIES, names)))
            connection.execute(QUALITIES.insert().values(names | {"value": value}))

    def quality(self, key: str, architecture_id: str, precision: str) -> float | None:
        """The stored quality, if there is one."""
        names = {"key": key, "architecture_id": architecture_id, "precision": precision}
        query = sa.select(QUALITIES.c.value).where(*matching(QUALITIES, names))
        with self.database.reading() as connection:
            value = connection.scalar(query)
        return None if value is None else float(value)

    def add_reference(
        self, device_name: str, target_id: str, versions: Mapping[str, str], reference_s: float
    ) -> None:
        """Store a reading of the reference network, seconds: how fast the machine was then."""
        if not 0 < reference_s < math.inf:
            raise InputError(
                f"A reading of the reference must be positive finite seconds, got {reference_s}."
            )
        row = reference_key_of(device_name, target_id, versions) | {"reference_s": reference_s}
        with self.database.writing() as connection:
            connection.execute(REFERENCES.insert().values(row))

    def references(
        self, device_name: str, target_id: str, versions: Mapping[str, str], *, limit: int = 200
    ) -> list[float]:
        """Readings of the reference network under these versions, seconds, newest first."""
        same = matching(REFERENCES, reference_key_of(device_name, target_id, versions))
        query = sa.select(REFERENCES.c.reference_s).where(*same)
        query = query.order_by(REFERENCES.c.id.desc()).limit(limit)
        with self.database.reading() as connection:
            return [float(value) for value in connection.scalars(query)]

    def read(self, cls: type[T], text: str) -> T:
        """A value of a row; raises InputError that names the store where it is none."""
        try:
            return loads(cls, text)
        except InputError as exc:
            raise InputError(
                f"Every row of the store {self.name} must be readable, but one is not: {exc} "
                "Restore the file from a copy or start a new store."
            ) from exc
