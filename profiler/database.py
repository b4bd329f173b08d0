"""The database behind a store: the engine of a URL, its transactions, and its errors in our words.

Writers take turns, on SQLite by its one write lock and on PostgreSQL by a lock of our own, so
nothing is decided on what another writer is about to change.
"""

from __future__ import annotations

import contextlib
import re
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.engine import URL, Connection, Engine
from sqlalchemy.exc import (
    ArgumentError,
    DataError,
    DBAPIError,
    IntegrityError,
    NoSuchModuleError,
    SQLAlchemyError,
)
from sqlalchemy.pool import NullPool

from fleetfit import FleetfitError, InputError, SurroundingsError

__all__ = ["Database"]

_WAIT_MS: Final = 30_000
"""How long another writer is waited for."""
_CONNECT_S: Final = "10"
_LOCK: Final = 0x666C6565  # "flee": the number of our lock among those of the database
_POSTGRESQL: Final = "postgresql+psycopg"
_DAMAGED: Final = ("not a database", "malformed", "no such table", "no such column")
_REFUSED: Final = ("authentication failed", "no password supplied", "does not exist", "no pg_hba")
# Classes of SQLSTATE: wrong user or password; no such database; no such table or column.
_INPUT_STATES: Final = ("28", "3D", "42")
_LOCKED_STATE: Final = "55P03"  # the wait for a lock was too long


class Database:
    """An SQLAlchemy URL, opened for each transaction and closed after it.

    So nothing is open or locked between calls, a kill loses nothing that was committed, and a
    server that was restarted is found again.
    """

    def __init__(self, url: str, *, create: bool) -> None:
        """Nothing is opened yet; without ``create`` an SQLite file must be there."""
        parsed = _parsed(url)
        self.is_sqlite = parsed.get_backend_name() == "sqlite"
        self.name = _shown(parsed)
        """The file's path, or the URL without its password; for messages."""
        if self.is_sqlite:
            _check_file(parsed.database, create=create)
        self.engine = _engine(parsed, self.name)
        # SQLite's transactions see one state anyway.
        options = {} if self.is_sqlite else {"isolation_level": "REPEATABLE READ"}
        self._reader = self.engine.execution_options(**options)
        self._writer = self.engine.execution_options(write=True)

    def close(self) -> None:
        """Let go of it."""
        self.engine.dispose()

    @contextlib.contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that sees one state of the database."""
        with self._translating(), self._reader.begin() as connection:
            yield connection

    @contextlib.contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction in which nobody else writes."""
        with self._translating(), self._writer.begin() as connection:
            yield connection

    @contextlib.contextmanager
    def _translating(self) -> Iterator[None]:
        try:
            yield
        except (DataError, IntegrityError) as exc:
            raise InputError(
                f"The store {self.name} must be given values that its tables take, but the "
                f"database says: {_said(exc)}; nothing of this step was stored, give other values."
            ) from exc
        except DBAPIError as exc:
            translated = _of_sqlite if self.is_sqlite else _of_server
            raise translated(self.name, exc) from exc
        except SQLAlchemyError as exc:
            raise SurroundingsError(
                f"The store {self.name} must work, but the database says: {_said(exc)}."
            ) from exc


def _parsed(url: str) -> URL:
    """A text without a colon is the name of an SQLite file."""
    try:
        parsed = sa.make_url(url if ":" in url else f"sqlite:///{url}")
    except (ArgumentError, ValueError) as exc:
        raise _no_url(url) from exc
    kind = parsed.get_backend_name()
    if kind == "sqlite":
        return parsed
    if "@" in f"{parsed.host}{parsed.database}":  # half of a password with an @ in it
        raise _no_url(url)
    if kind != "postgresql":
        raise InputError(
            "A store must be a URL like sqlite:///store.db or postgresql://user@host/name, but got "
            f"one of {kind}; other databases are not supported."
        )
    return parsed.set(drivername=_POSTGRESQL)


def _no_url(url: str) -> InputError:
    shown = re.sub(r"//.*@", "//***@", url, flags=re.DOTALL)
    return InputError(
        f"A store must be a URL like sqlite:///store.db, but got {shown!r}; an @ in a password "
        "is written %40."
    )


def _shown(parsed: URL) -> str:
    if parsed.get_backend_name() == "sqlite":
        return parsed.database or ":memory:"
    plain = parsed.set(drivername=parsed.get_backend_name(), query={})
    return plain.render_as_string(hide_password=True)


def _check_file(name: str | None, *, create: bool) -> None:
    if not name or name == ":memory:":
        raise InputError("A store must be a file (sqlite:///path), but got one in memory.")
    path = Path(name)
    try:
        if create:
            path.parent.mkdir(parents=True, exist_ok=True)
        elif not path.exists():
            raise InputError(
                f"The store {path} must exist, but is not there; check its name, or measure first "
                "with profile."
            )
    except OSError as exc:
        raise SurroundingsError(
            f"The folder of the store {path} must be writable, but the system says: "
            f"{exc.strerror}; choose another place."
        ) from exc


def _engine(parsed: URL, name: str) -> Engine:
    arguments: dict[str, Any] = {}
    if parsed.get_backend_name() == "postgresql" and "connect_timeout" not in parsed.query:
        arguments = {"connect_timeout": _CONNECT_S}
    try:
        engine = sa.create_engine(parsed, poolclass=NullPool, connect_args=arguments)
    except (ArgumentError, NoSuchModuleError) as exc:
        raise InputError(
            f"A store must be a URL like sqlite:///store.db, but got {name!r}: {_said(exc)}."
        ) from exc
    except ImportError as exc:
        raise SurroundingsError(
            f"The driver of the store {name} must be installed, but is not: pip install "
            "'fleetfit[postgres]'."
        ) from exc
    if parsed.get_backend_name() == "sqlite":
        sa.event.listen(engine, "connect", _prepare)
        sa.event.listen(engine, "begin", _begin)
    else:
        sa.event.listen(engine, "begin", _lock)
    return engine


def _prepare(connection: Any, _: object) -> None:
    """WAL lets others read while one writes; transactions begin where we say (``_begin``)."""
    cursor = connection.cursor()
    try:
        connection.isolation_level = None
        cursor.execute(f"PRAGMA busy_timeout={_WAIT_MS}")
        _use_wal(cursor)
        cursor.execute("PRAGMA synchronous=NORMAL")
    except BaseException:
        cursor.close()
        connection.close()  # the engine never sees this one
        raise
    cursor.close()


def _use_wal(cursor: Any) -> None:
    """Of two that open a new file at once SQLite turns one away here without waiting."""
    until = time.monotonic() + _WAIT_MS / 1000
    while True:
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as exc:
            if "locked" not in str(exc) or time.monotonic() > until:
                raise
        time.sleep(0.01)


def _begin(connection: Connection) -> None:
    writes = connection.get_execution_options().get("write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _lock(connection: Connection) -> None:
    if connection.get_execution_options().get("write", False):
        connection.exec_driver_sql(
            f"SET LOCAL lock_timeout = {_WAIT_MS}; SELECT pg_advisory_xact_lock({_LOCK})"
        )


def _of_sqlite(name: str, exc: DBAPIError) -> FleetfitError:
    """SQLite says what is wrong in words only."""
    said = _said(exc)
    if any(words in said for words in _DAMAGED):
        return InputError(
            f"The store {name} must be an intact SQLite file of this program, but the database "
            f"says: {said}; restore it from a copy, or move it away to start a new one."
        )
    if "locked" in said:
        return _busy(name, said)
    return SurroundingsError(
        f"The store {name} must be writable, but the database says: {said}; free space or check "
        "the permissions, what was stored before is intact."
    )


def _of_server(name: str, exc: DBAPIError) -> FleetfitError:
    said, state = _said(exc), getattr(exc.orig, "sqlstate", None) or ""
    if state.startswith(_INPUT_STATES) or (not state and any(w in said for w in _REFUSED)):
        return InputError(
            f"The store {name} must let this user in and be of this program, but the server says: "
            f"{said}; check the URL, or set the password in PGPASSWORD or ~/.pgpass."
        )
    if state == _LOCKED_STATE:
        return _busy(name, said)
    return SurroundingsError(
        f"The store {name} must answer and be writable, but the server says: {said}; start it, "
        "free space there or check the network, what was stored before is intact."
    )


def _busy(name: str, said: str) -> FleetfitError:
    return SurroundingsError(
        f"The store {name} must be free to be written, but another process writes to it (the "
        f"database says: {said}); wait for it or end it."
    )


def _said(exc: Exception) -> str:
    """The first line of what the database said, without SQL or values."""
    lines = str(getattr(exc, "orig", None) or exc).strip().splitlines()
    return " ".join(lines[0].split()).rstrip(".") if lines else type(exc).__name__
