"""Tables of the store as they are now; ``profiler/migrations`` leads here from any version.

History:
1. meta, measurements (one of each job and device name), visits, qualities.
2. Measurements are told apart by the versions that decide their cost, too, and have A/A repeats,
   a digest and the label of their time as columns; readings of the reference network. The version
   stands in alembic_version; what stands in meta turns programs of version 1 away.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import Column, Float, Index, Integer, MetaData, String, Table, Text
from sqlalchemy import UniqueConstraint as Unique

__all__ = [
    "MEASUREMENTS",
    "METADATA",
    "QUALITIES",
    "REFERENCES",
    "SCHEMA_VERSION",
    "TABLES",
    "VISITS",
]

SCHEMA_VERSION: Final = 2
METADATA: Final = MetaData()

Table(
    "meta",
    METADATA,
    Column("name", String(64), primary_key=True),
    Column("value", String(256), nullable=False),
)
MEASUREMENTS: Final = Table(
    "measurements",
    METADATA,
    Column("id", Integer, primary_key=True),  # the order of writing; clocks step back
    Column("job_id", String(16), nullable=False),
    Column("device_name", String(256), nullable=False),
    Column("versions", Text, nullable=False),  # canonical JSON of those that decide the cost
    Column("repeat", Integer, nullable=False),  # 0: the measurement; 1, 2, ...: A/A repeats of it
    Column("device_class", String(16), nullable=False),
    Column("protocol", String(16), nullable=False),
    Column("status", String(16), nullable=False),
    Column("measured_at", Text, nullable=False),  # UTC, ISO 8601; a label
    Column("digest", String(64), nullable=False),  # SHA-256 of the text in ``measurement``
    Column("measurement", Text, nullable=False),  # canonical JSON, raw samples included
    Unique("job_id", "device_name", "versions", "repeat", name="measurement_key"),
    Index("measurement_class", "device_class"),
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
REFERENCES: Final = Table(
    "reference_readings",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("device_name", String(256), nullable=False),
    Column("target_id", String(16), nullable=False),
    Column("versions", Text, nullable=False),
    Column("reference_s", Float, nullable=False),  # latency of the reference network
    Index("reference_reading_key", "device_name", "target_id"),
)
TABLES: Final = (MEASUREMENTS, VISITS, QUALITIES, REFERENCES)
"""Those that hold data."""
