"""Tables of the store. History: version 1, the first."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Column, Float, Integer, MetaData, String, Table, Text, UniqueConstraint

__all__ = ["MEASUREMENTS", "META", "METADATA", "QUALITIES", "SCHEMA_VERSION", "VISITS"]

SCHEMA_VERSION: Final = 1
METADATA: Final = MetaData()

META: Final = Table(
    "meta",
    METADATA,
    Column("name", String(64), primary_key=True),
    Column("value", String(256), nullable=False),
)
MEASUREMENTS: Final = Table(
    "measurements",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("job_id", String(16), nullable=False),
    Column("device_name", String(256), nullable=False),
    Column("device_class", String(16), nullable=False, index=True),
    Column("protocol", String(16), nullable=False),
    Column("status", String(16), nullable=False),
    Column("measurement", Text, nullable=False),  # canonical JSON, raw samples included
    UniqueConstraint("job_id", "device_name"),
)
VISITS: Final = Table(
    "visits",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("job_id", String(16), nullable=False),
    Column("device_name", String(256), nullable=False),
    Column("versions", Text, nullable=False),  # visits of other runtime versions do not count
    Column("verdict", String(16), nullable=False),
    Column("visit", Text, nullable=False),
)
QUALITIES: Final = Table(
    "qualities",
    METADATA,
    Column("key", String(256), primary_key=True),  # text, metric and supernet it belongs to
    Column("architecture_id", String(16), primary_key=True),
    Column("precision", String(16), primary_key=True),
    Column("value", Float, nullable=False),
)
