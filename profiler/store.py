"""The store: every measurement, the visits of unfinished ones, and qualities, behind one URL."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TypeVar

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import ArgumentError, DatabaseError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from fleetfit import (
    FleetfitError,
    InputError,
    Job,
    Measurement,
    ProtocolName,
    SurroundingsError,
    dumps,
    loads,
)
from profiler.schema import MEASUREMENTS, META, METADATA, QUALITIES, SCHEMA_VERSION, VISITS
from profiler.visit import Verdict, Visit

__all__ = ["Store"]

T = TypeVar("T")
_BUSY_MS: Final = 30_000


class Store:
    """Measurements and qualities behind an SQLAlchemy URL, ``sqlite:///path`` as a rule.

    Everything is committed before a method returns. A corrupt file is an InputError that names
    it; a full or read-only disk is a SurroundingsError, and what was stored before stays.
    """

    def __init__(self, url: str) -> None:
        """Open or create the store; raises InputError for a bad URL, file or schema version."""
        self._engine, self.name = _engine(url)
        with self._connection() as connection:
            METADATA.create_all(connection)
            found = connection.scalar(sa.select(META.c.value).where(META.c.name == "schema"))
            if found is None:
                connection.execute(META.insert().values(name="schema", value=str(SCHEMA_VERSION)))
            elif found != str(SCHEMA_VERSION):
                raise InputError(
                    f"The store {self.name} must have schema version {SCHEMA_VERSION}, but has "
                    f"{found}; use the program that wrote it or start a new store."
                )

    def close(self) -> None:
        """Let go of the file."""
        self._engine.dispose()

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

        An earlier one of the same job and device name is replaced.
        """
        job, device = measurement.job, measurement.device
        row = {
            "job_id": job.id,
            "device_name": device.name,
            "device_class": device.device_class,
            "protocol": job.protocol,
            "status": measurement.status,
            "measurement": dumps(measurement),
        }
        with self._connection() as connection:
            for table in (VISITS, MEASUREMENTS):
                connection.execute(sa.delete(table).where(*_same(table, job, device.name)))
            connection.execute(MEASUREMENTS.insert().values(**row))

    def get(self, job: Job, device_name: str) -> Measurement | None:
        """The measurement of a job on a device, if there is one."""
        query = sa.select(MEASUREMENTS.c.measurement)
        with self._connection() as connection:
            text = connection.scalar(query.where(*_same(MEASUREMENTS, job, device_name)))
        return None if text is None else self._read(Measurement, text)

    def measurements(
        self, *, device_class: str | None = None, protocol: ProtocolName | None = None
    ) -> list[Measurement]:
        """All measurements, oldest first, of one device class or protocol where given."""
        query = sa.select(MEASUREMENTS.c.measurement).order_by(MEASUREMENTS.c.id)
        if device_class is not None:
            query = query.where(MEASUREMENTS.c.device_class == device_class)
        if protocol is not None:
            query = query.where(MEASUREMENTS.c.protocol == protocol)
        with self._connection() as connection:
            texts = connection.scalars(query).all()
        return [self._read(Measurement, text) for text in texts]

    def add_visit(self, job: Job, device_name: str, visit: Visit, versions: dict[str, str]) -> int:
        """Store a visit of an unfinished configuration as ``pending``; returns its number."""
        values = {
            "job_id": job.id,
            "device_name": device_name,
            "versions": dumps(versions),
            "verdict": "pending",
            "visit": dumps(visit),
        }
        with self._connection() as connection:
            result = connection.execute(VISITS.insert().values(**values))
            key = result.inserted_primary_key
        assert key is not None
        return int(key[0])

    def judge_visits(self, numbers: list[int], verdict: Verdict) -> None:
        """Set the verdict on visits."""
        with self._connection() as connection:
            update = sa.update(VISITS).where(VISITS.c.id.in_(numbers))
            connection.execute(update.values(verdict=verdict))

    def visits(
        self, job: Job, device_name: str, versions: dict[str, str]
    ) -> list[tuple[int, Verdict, Visit]]:
        """(number, verdict, visit) of an unfinished configuration, oldest first.

        Visits under other runtime versions are left out.
        """
        query = sa.select(VISITS.c.id, VISITS.c.verdict, VISITS.c.visit).order_by(VISITS.c.id)
        query = query.where(*_same(VISITS, job, device_name), VISITS.c.versions == dumps(versions))
        with self._connection() as connection:
            rows = connection.execute(query).all()
        return [(row.id, row.verdict, self._read(Visit, row.visit)) for row in rows]

    def put_quality(self, key: str, architecture_id: str, precision: str, value: float) -> None:
        """Store the quality of an architecture; ``key`` names text, metric and weights."""
        if not math.isfinite(value):
            raise InputError(f"A quality must be a finite number, but got {value}.")
        names = {"key": key, "architecture_id": architecture_id, "precision": precision}
        with self._connection() as connection:
            connection.execute(sa.delete(QUALITIES).where(*_quality(names)))
            connection.execute(QUALITIES.insert().values(**names, value=value))

    def quality(self, key: str, architecture_id: str, precision: str) -> float | None:
        """The stored quality, if there is one."""
        names = {"key": key, "architecture_id": architecture_id, "precision": precision}
        with self._connection() as connection:
            value = connection.scalar(sa.select(QUALITIES.c.value).where(*_quality(names)))
        return None if value is None else float(value)

    @contextlib.contextmanager
    def _connection(self) -> Iterator[Connection]:
        """A transaction; errors of the database in our words."""
        try:
            with self._engine.begin() as connection:
                yield connection
        except DatabaseError as exc:
            raise _translated(self.name, exc) from exc
        except SQLAlchemyError as exc:
            raise SurroundingsError(
                f"The store {self.name} must work, but the database says: {exc}."
            ) from exc

    def _read(self, cls: type[T], text: str) -> T:
        try:
            return loads(cls, text)
        except InputError as exc:
            raise InputError(
                f"Every row of the store {self.name} must be readable, but one is not: {exc} "
                "Restore the file from a copy or start a new store."
            ) from exc


def _engine(url: str) -> tuple[Engine, str]:
    """The engine and a name for messages (a file's path, or the URL without its password).

    A text without a colon is the name of an SQLite file.
    """
    try:
        parsed = sa.make_url(url if ":" in url else f"sqlite:///{url}")
        if parsed.get_backend_name() != "sqlite":
            return sa.create_engine(parsed), parsed.render_as_string(hide_password=True)
        if not parsed.database or parsed.database == ":memory:":
            raise InputError("A store must be a file (sqlite:///path), but got one in memory.")
        _make_parent(Path(parsed.database))
        # No pool: no connection is open between calls, so nothing is lost or locked by a kill.
        engine = sa.create_engine(parsed, poolclass=NullPool)
    except (ArgumentError, NoSuchModuleError, ImportError) as exc:
        raise InputError(
            f"A store must be a URL like sqlite:///store.db, but got {url!r}: {exc}."
        ) from exc
    sa.event.listen(engine, "connect", _prepare)
    return engine, parsed.database


def _make_parent(path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise SurroundingsError(
            f"The folder of the store {path} must be writable, but the system says: "
            f"{exc.strerror}; choose another place."
        ) from exc


def _prepare(connection: Any, _: object) -> None:
    cursor = connection.cursor()
    try:
        cursor.execute(f"PRAGMA busy_timeout={_BUSY_MS}")
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=NORMAL")
    except BaseException:
        cursor.close()
        connection.close()  # the engine never sees this one
        raise
    cursor.close()


def _translated(name: str, exc: DatabaseError) -> FleetfitError:
    """SQLite says what is wrong in words only."""
    said = str(exc.orig)
    if "not a database" in said or "malformed" in said or "no such column" in said:
        return InputError(
            f"The store {name} must be an intact SQLite file of this program, but the database "
            f"says: {said}; restore it from a copy, or move it away to start a new one."
        )
    return SurroundingsError(
        f"The store {name} must be writable, but the database says: {said}; free space or check "
        "the permissions, what was stored before is intact."
    )


def _same(table: sa.Table, job: Job, device_name: str) -> tuple[sa.ColumnElement[bool], ...]:
    return (table.c.job_id == job.id, table.c.device_name == device_name)


def _quality(names: dict[str, str]) -> tuple[sa.ColumnElement[bool], ...]:
    return tuple(QUALITIES.c[name] == value for name, value in names.items())
