"""Version 1, the first: whatever a store of this version, perhaps cut short, lacks is created."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

__all__ = ["upgrade"]

revision = "1"
down_revision = None

_TABLES = sa.MetaData()
_META = sa.Table(
    "meta",
    _TABLES,
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("value", sa.String(256), nullable=False),
)
sa.Table(
    "measurements",
    _TABLES,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("job_id", sa.String(16), nullable=False),
    sa.Column("device_name", sa.String(256), nullable=False),
    sa.Column("device_class", sa.String(16), nullable=False, index=True),
    sa.Column("protocol", sa.String(16), nullable=False),
    sa.Column("status", sa.String(16), nullable=False),
    sa.Column("measurement", sa.Text, nullable=False),
    sa.UniqueConstraint("job_id", "device_name"),
)
sa.Table(
    "visits",
    _TABLES,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("job_id", sa.String(16), nullable=False),
    sa.Column("device_name", sa.String(256), nullable=False),
    sa.Column("versions", sa.Text, nullable=False),
    sa.Column("verdict", sa.String(16), nullable=False),
    sa.Column("visit", sa.Text, nullable=False),
)
sa.Table(
    "qualities",
    _TABLES,
    sa.Column("key", sa.String(256), primary_key=True),
    sa.Column("architecture_id", sa.String(16), primary_key=True),
    sa.Column("precision", sa.String(16), primary_key=True),
    sa.Column("value", sa.Float, nullable=False),
)


def upgrade() -> None:
    """Create what is missing."""
    connection = op.get_bind()
    _TABLES.create_all(connection)
    if connection.scalar(sa.select(_META.c.value).where(_META.c.name == "schema")) is None:
        connection.execute(_META.insert().values(name="schema", value="1"))
