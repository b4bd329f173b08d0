"""Version 2: versions, repeats, times and digests of measurements; readings of the reference."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import sqlalchemy as sa
from alembic import op

from fleetfit import InputError

__all__ = ["upgrade"]

revision = "2"
down_revision = "1"

_OLD = sa.Table(
    "measurements_1",
    sa.MetaData(),
    *(sa.Column(name) for name in ("id", "job_id", "device_name", "device_class", "protocol")),
    sa.Column("status"),
    sa.Column("measurement", sa.Text),
)
_ROWS_AT_ONCE = 100


def upgrade() -> None:
    """Move the measurements to a wider table, everything else stays where it is."""
    # Not there where version 1 was killed while it made the store.
    op.drop_index("ix_measurements_device_class", "measurements", if_exists=True)
    op.rename_table("measurements", "measurements_1")
    measurements = op.create_table(
        "measurements",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("job_id", sa.String(16), nullable=False),
        sa.Column("device_name", sa.String(256), nullable=False),
        sa.Column("versions", sa.Text, nullable=False),
        sa.Column("repeat", sa.Integer, nullable=False),
        sa.Column("device_class", sa.String(16), nullable=False),
        sa.Column("protocol", sa.String(16), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("measured_at", sa.Text, nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("measurement", sa.Text, nullable=False),
        sa.UniqueConstraint("job_id", "device_name", "versions", "repeat", name="measurement_key"),
    )
    op.create_index("measurement_class", "measurements", ["device_class"])
    op.create_table(
        "reference_readings",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("device_name", sa.String(256), nullable=False),
        sa.Column("target_id", sa.String(16), nullable=False),
        sa.Column("versions", sa.Text, nullable=False),
        sa.Column("reference_s", sa.Float, nullable=False),
    )
    op.create_index("reference_reading_key", "reference_readings", ["device_name", "target_id"])
    _move(op.get_bind(), measurements)
    op.drop_table("measurements_1")
    op.execute("UPDATE meta SET value = '2' WHERE name = 'schema'")


def _move(connection: sa.Connection, measurements: sa.Table) -> None:
    query = sa.select(_OLD).order_by(_OLD.c.id).limit(_ROWS_AT_ONCE)
    rows = connection.execute(query).mappings().all()
    while rows:
        connection.execute(measurements.insert(), [_wider(dict(row)) for row in rows])
        after = query.where(_OLD.c.id > rows[-1]["id"])
        rows = connection.execute(after).mappings().all()
    if connection.dialect.name == "postgresql":  # its counter does not see given numbers
        top = "SELECT coalesce(max(id), 0) + 1 FROM measurements"
        counter = "pg_get_serial_sequence('measurements', 'id')"
        op.execute(f"SELECT setval({counter}, ({top}), false)")


def _wider(row: dict[str, Any]) -> dict[str, Any]:
    """A row with the new columns; raises InputError that names one that is no measurement."""
    try:
        return row | _columns_of(row["measurement"])
    except (ValueError, LookupError, TypeError, AttributeError) as exc:
        raise InputError(
            f"A measurement must be JSON with job and device, but that of id {row['id']} is not: "
            f"{type(exc).__name__}, {exc}."
        ) from exc


def _columns_of(text: str) -> dict[str, Any]:
    """New columns, and the text that goes with them.

    Verifications named every runtime of the device as their versions; their own decides the cost,
    the others still stand in the device.
    """
    data = json.loads(text)
    versions = data.get("versions", {})
    runtime = data["job"]["query"]["target"]["runtime"]
    if versions == data["device"].get("versions", {}):
        versions = {name: v for name, v in versions.items() if name == runtime}
        text = _canonical(data | {"versions": versions})
    return {
        "versions": _canonical(versions),
        "repeat": 0,
        "measured_at": data.get("measured_at", ""),
        "digest": hashlib.sha256(text.encode()).hexdigest(),
        "measurement": text,
    }


def _canonical(data: object) -> str:
    return json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
