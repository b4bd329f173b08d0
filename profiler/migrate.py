"""Bringing a store to the tables of now, whatever version it is of."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from fleetfit import InputError
from profiler.database import Database
from profiler.schema import SCHEMA_VERSION

__all__ = ["prepare"]


def prepare(database: Database, *, create: bool) -> bool:
    """Upgrade a store in place, or make the tables of a new one where ``create`` allows it.

    Returns whether it was new. In one transaction: a kill leaves the old or the new. A current
    store costs two short queries. Raises InputError for a store of a newer program, for one with a
    damaged row, which is left as it is, and, without ``create``, for an empty one.
    """
    with database.reading() as connection:
        found = _version(connection, database.name)
    if found == SCHEMA_VERSION:
        return False
    if found is None and not create:
        raise InputError(
            f"The store {database.name} must hold measurements, but is empty; check its name, or "
            "measure first with profile."
        )
    with database.writing() as connection:
        try:
            _upgrade(connection)
        except InputError as exc:
            raise InputError(
                f"Every row of the store {database.name} must be readable to upgrade it, but one "
                f"is not: {exc} Restore it from a copy, or delete that row."
            ) from exc
    return found is None


def _version(connection: Connection, name: str) -> int | None:
    """The version of a store; None for an empty database."""
    text = None
    for table, query in (
        ("alembic_version", "SELECT version_num FROM alembic_version"),
        ("meta", "SELECT value FROM meta WHERE name = 'schema'"),  # version 1
    ):
        if text is None and connection.dialect.has_table(connection, table):
            text = connection.scalar(sa.text(query))
    if text is None:
        return None
    version = int(text) if text.isdecimal() else None
    if version is None or version > SCHEMA_VERSION:
        raise InputError(
            f"The store {name} must have schema version {SCHEMA_VERSION} or an earlier one, but "
            f"has {text}; use the newer program that wrote it, or another store."
        )
    return version


def _upgrade(connection: Connection) -> None:
    """Run the steps that are missing; none, where another process was faster."""
    from alembic.operations import Operations
    from alembic.runtime.migration import MigrationContext, MigrationStep, RevisionStep
    from alembic.script import ScriptDirectory

    folder = str(Path(__file__).parent / "migrations")
    script = ScriptDirectory(folder, version_locations=[folder])

    def steps(heads: tuple[str, ...], _: MigrationContext) -> list[RevisionStep]:
        missing = list(script.iterate_revisions("head", heads or "base"))
        return [
            MigrationStep.upgrade_from_script(script.revision_map, step)
            for step in reversed(missing)
        ]

    options = {"fn": steps, "transactional_ddl": True}
    context = MigrationContext.configure(connection, opts=options)
    with Operations.context(context):
        context.run_migrations()
