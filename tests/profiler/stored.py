"""Measurements for stores, made by hand, and a store of version 1 that holds some."""

from __future__ import annotations

import dataclasses
import itertools
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from fleetfit import DeviceInfo, Job, Measurement, Query, Target, Workload, dumps
from profiler.database import Database
from profiler.visit import Visit
from tests.conftest import build_tiny_source

DEVICE = DeviceInfo(
    name="a", cpu_model="c", cpu_flags=("avx2",), cores=2, memory_bytes=2**30, machine="x86_64",
    system="Linux", versions={"onnxruntime": "1.31.1", "openvino": "2026.4.1"},
)  # fmt: skip
VERSIONS = {"onnxruntime": "1.31.1"}
VISIT = Visit(samples_s=(0.01, 0.02), load_s=0.1, file_bytes=10)


def job(seed: int = 0, **changes: Any) -> Job:
    """One for each seed."""
    target = Target(runtime="onnxruntime")
    query = Query(architecture=build_tiny_source(), target=target, workload=Workload())
    return dataclasses.replace(Job(query=query, protocol="survey", seed=seed), **changes)


def measured(latency_s: float = 0.01, **changes: Any) -> Measurement:
    """Of ``job()`` on DEVICE under VERSIONS, unless changed."""
    made = Measurement(
        job=job(),
        device=DEVICE,
        samples_s=((latency_s, latency_s * 1.1), (latency_s,)),
        memory_bytes=None,
        memory_above_imports_bytes=None,
        file_bytes=10,
        load_s=0.1,
        versions=VERSIONS,
    )
    return dataclasses.replace(made, **changes)


# As version 1 of the program made them.
_TABLES_1 = """
CREATE TABLE meta (name VARCHAR(64) NOT NULL PRIMARY KEY, value VARCHAR(256) NOT NULL);
CREATE TABLE measurements (
  id {number} NOT NULL PRIMARY KEY, job_id VARCHAR(16) NOT NULL, device_name VARCHAR(256) NOT NULL,
  device_class VARCHAR(16) NOT NULL, protocol VARCHAR(16) NOT NULL, status VARCHAR(16) NOT NULL,
  measurement TEXT NOT NULL, UNIQUE (job_id, device_name)
);
CREATE INDEX ix_measurements_device_class ON measurements (device_class);
CREATE TABLE visits (
  id {number} NOT NULL PRIMARY KEY, job_id VARCHAR(16) NOT NULL, device_name VARCHAR(256) NOT NULL,
  versions TEXT NOT NULL, verdict VARCHAR(16) NOT NULL, visit TEXT NOT NULL
);
CREATE TABLE qualities (
  key VARCHAR(256) NOT NULL, architecture_id VARCHAR(16) NOT NULL, precision VARCHAR(16) NOT NULL,
  value FLOAT NOT NULL, PRIMARY KEY (key, architecture_id, precision)
);
INSERT INTO meta VALUES ('schema', '1');
"""
_NEW_FIELDS = (
    "build_s", "device_samples_s", "first_run_s", "flags", "gpu", "import_s", "measured_at",
    "memory", "set_aside_s", "windows",
)  # fmt: skip


def write_version_1(url: str, count: int) -> list[Measurement]:
    """A store of version 1 with ``count`` measurements, a visit and a quality; the measurements.

    The last is a verification, which then named every runtime of the device in its versions.
    """
    kept = [measured(0.01 + i / 1000, job=job(i)) for i in range(count - 1)]
    kept.append(measured(job=job(protocol="verify"), versions=DEVICE.versions))
    database = Database(url, create=True)
    number = "INTEGER" if database.is_sqlite else "SERIAL"
    with database.writing() as connection:
        for statement in _TABLES_1.format(number=number).split(";\n"):
            if statement.strip():
                connection.exec_driver_sql(statement)
        insert = sa.text(
            "INSERT INTO measurements (job_id, device_name, device_class, protocol, status, "
            "measurement) VALUES (:job, :device, :kind, :protocol, 'ok', :text)"
        )
        connection.execute(insert, [_row_1(one) for one in kept])
        visit = {"job": job(count).id, "versions": dumps(VERSIONS), "visit": dumps(VISIT)}
        connection.execute(
            sa.text(
                "INSERT INTO visits (job_id, device_name, versions, verdict, visit) "
                "VALUES (:job, 'a', :versions, 'good', :visit)"
            ),
            visit,
        )
        connection.exec_driver_sql("INSERT INTO qualities VALUES ('k', 'x', 'fp32', 1.5)")
    database.close()
    return kept


def _row_1(measurement: Measurement) -> dict[str, str]:
    data = json.loads(dumps(measurement))
    for name in _NEW_FIELDS:
        del data[name]
    return {
        "job": measurement.job.id,
        "device": measurement.device.name,
        "kind": measurement.device.device_class,
        "protocol": measurement.job.protocol,
        "text": dumps(data),
    }


def storing(action: str, url: str) -> subprocess.Popen[str]:
    """A process of ``tests.profiler.storing``."""
    command = [sys.executable, "-m", "tests.profiler.storing", action, url]
    root = Path(__file__).parents[2]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, cwd=root)


def asked(process: subprocess.Popen[str], line: str | None = None) -> str:
    """Its next answer, to ``line`` where there is one."""
    assert process.stdin is not None
    assert process.stdout is not None
    if line is not None:
        process.stdin.write(line + "\n")
        process.stdin.flush()
    return process.stdout.readline().strip()


def killed_in_turn(
    process: subprocess.Popen[str], new_url: Callable[..., str], source: str
) -> Iterator[str]:
    """A copy of the store ``source`` for each death in it, of a process of ``killed_each``.

    It dies at every statement on SQLite, and at every fourth on PostgreSQL, where it takes longer;
    the last copy is of a life to the end.
    """
    assert asked(process) == "ready"
    answer = "killed"
    for number in itertools.count(1, 1 if source.startswith("sqlite") else 4):
        if answer == "done":
            break
        url = new_url(source)
        answer = asked(process, f"{number} {url}")
        assert answer in ("killed", "done")
        yield url
