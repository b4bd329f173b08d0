from __future__ import annotations

import dataclasses
import sqlite3
from pathlib import Path

import pytest
import sqlalchemy as sa

from fleetfit import (
    DeviceInfo,
    InputError,
    Job,
    Measurement,
    Query,
    SurroundingsError,
    Target,
    Workload,
)
from profiler import Store
from profiler.visit import Visit
from supernet.spaces import ElasticSpace


@pytest.fixture
def job(space: ElasticSpace) -> Job:
    target = Target(runtime="onnxruntime")
    query = Query(architecture=space.largest(), target=target, workload=Workload())
    return Job(query=query, protocol="survey")


def measurement(job: Job, device: DeviceInfo, latency_s: float = 0.01) -> Measurement:
    return Measurement(
        job=job,
        device=device,
        samples_s=((latency_s, latency_s * 1.1), (latency_s,)),
        memory_bytes=None,
        memory_above_imports_bytes=None,
        file_bytes=10,
        load_s=0.1,
    )


VISIT = Visit(samples_s=(0.01, 0.02), load_s=0.1, file_bytes=10)


def test_a_measurement_comes_back_equal(store: Store, job: Job, device: DeviceInfo) -> None:
    given = measurement(job, device)
    store.put(given)
    assert store.get(job, device.name) == given
    assert store.measurements() == [given]


def test_one_of_each_job_and_device(store: Store, job: Job, device: DeviceInfo) -> None:
    store.put(measurement(job, device))
    newer = measurement(job, device, 0.02)
    store.put(newer)
    other = measurement(job, dataclasses.replace(device, name="other"))
    store.put(other)
    assert store.measurements() == [newer, other]


def test_selection_by_class_and_protocol(store: Store, job: Job, device: DeviceInfo) -> None:
    first = measurement(job, device)
    faster = dataclasses.replace(device, name="b", cores=device.cores + 1)
    second = measurement(dataclasses.replace(job, protocol="verify"), faster)
    store.put(first)
    store.put(second)
    assert store.measurements(device_class=device.device_class) == [first]
    assert store.measurements(protocol="verify") == [second]
    assert store.get(job, "absent") is None


def test_visits_keep_order_verdict_and_versions(store: Store, job: Job, device: DeviceInfo) -> None:
    versions = {"onnxruntime": "1"}
    first = store.add_visit(job, device.name, VISIT, versions)
    second = store.add_visit(job, device.name, VISIT, versions)
    store.judge_visits([first], "disturbed")
    found = store.visits(job, device.name, versions)
    assert found == [(first, "disturbed", VISIT), (second, "pending", VISIT)]
    assert store.visits(job, device.name, {"onnxruntime": "2"}) == []


def test_a_measurement_ends_its_visits(store: Store, job: Job, device: DeviceInfo) -> None:
    store.add_visit(job, device.name, VISIT, {})
    store.put(measurement(job, device))
    assert store.visits(job, device.name, {}) == []


def test_qualities(store: Store) -> None:
    store.put_quality("wiki", "a" * 16, "fp32", 1.5)
    store.put_quality("wiki", "a" * 16, "fp32", 2.5)
    assert store.quality("wiki", "a" * 16, "fp32") == 2.5
    assert store.quality("wiki", "a" * 16, "bf16") is None
    with pytest.raises(InputError, match="finite"):
        store.put_quality("wiki", "a" * 16, "fp32", float("nan"))


def test_reopened_it_has_everything(tmp_path: Path, job: Job, device: DeviceInfo) -> None:
    url = f"sqlite:///{tmp_path}/new/folder/store.db"
    with Store(url) as store:
        store.put(measurement(job, device))
    with Store(url) as store:
        assert store.get(job, device.name) is not None
    with sqlite3.connect(f"{tmp_path}/new/folder/store.db") as raw:
        mode = raw.execute("PRAGMA journal_mode").fetchone()[0]
    raw.close()
    assert mode == "wal"


def test_two_processes_may_write(tmp_path: Path, job: Job, device: DeviceInfo) -> None:
    url = f"sqlite:///{tmp_path}/store.db"
    with Store(url) as one, Store(url) as two:
        one.put_quality("k", "a", "fp32", 1.0)
        two.put(measurement(job, device))
        assert one.get(job, device.name) is not None


@pytest.mark.parametrize("damage", [b"this is no database at all, but long" * 50, b"\x00" * 4096])
def test_a_corrupt_file_is_named(tmp_path: Path, damage: bytes) -> None:
    path = tmp_path / "broken.db"
    path.write_bytes(damage)
    with pytest.raises(InputError, match=r"broken.db must be an intact.*restore"):
        Store(f"sqlite:///{path}")
    assert path.read_bytes() == damage


def test_a_page_overwritten_is_named(tmp_path: Path, job: Job, device: DeviceInfo) -> None:
    path = tmp_path / "store.db"
    with Store(f"sqlite:///{path}") as store:
        store.put(measurement(job, device))
    raw = bytearray(path.read_bytes())
    raw[4096:] = b"\x5a" * (len(raw) - 4096)
    path.write_bytes(raw)
    with pytest.raises(InputError, match=r"store\.db"), Store(f"sqlite:///{path}") as store:
        store.measurements()


def test_a_row_that_is_no_measurement(tmp_path: Path, job: Job, device: DeviceInfo) -> None:
    path = tmp_path / "store.db"
    with Store(f"sqlite:///{path}") as store:
        store.put(measurement(job, device))
        with sqlite3.connect(path) as raw:
            raw.execute("UPDATE measurements SET measurement = '{\"job\": 1}'")
        raw.close()
        with pytest.raises(InputError, match=r"row of the store .*store.db"):
            store.measurements()


def test_another_schema_version(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    Store(f"sqlite:///{path}").close()
    with sqlite3.connect(path) as raw:
        raw.execute("UPDATE meta SET value = '99'")
    raw.close()
    with pytest.raises(InputError, match="schema version 1, but has 99"):
        Store(f"sqlite:///{path}")


def test_a_file_name_is_a_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with Store("store.db"):
        assert (tmp_path / "store.db").exists()


@pytest.mark.parametrize("url", ["nosuch:///x", "sqlite://", "sqlite:///:memory:"])
def test_a_bad_url(url: str) -> None:
    with pytest.raises(InputError, match="sqlite:///"):
        Store(url)


def test_a_full_disk_leaves_earlier_rows(store: Store, job: Job, device: DeviceInfo) -> None:
    store.put(measurement(job, device))

    def limit(connection: sqlite3.Connection, _: object) -> None:
        connection.execute("PRAGMA max_page_count=1")  # SQLITE_FULL as from a full disk

    sa.event.listen(store._engine, "connect", limit)
    big = dataclasses.replace(measurement(job, device), samples_s=((0.0123456,) * 20_000,))
    big = dataclasses.replace(big, job=dataclasses.replace(job, seed=1))
    with pytest.raises(SurroundingsError, match=r"store.db must be writable.*full.*intact"):
        store.put(big)
    assert store.get(job, device.name) == measurement(job, device)


def test_a_folder_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SurroundingsError, match="folder of the store"):
        Store(f"sqlite:///{tmp_path}/file/store.db")
