from __future__ import annotations

import dataclasses
import datetime
import os
import random
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from fleetfit import InputError, SurroundingsError, versions_of
from profiler import Store
from tests.profiler.stored import DEVICE, VERSIONS, VISIT, job, measured, storing

NEWER = {"onnxruntime": "1.32.0"}


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    """On either database."""
    with Store(url) as store:
        yield store


def test_a_measurement_comes_back_equal(store: Store) -> None:
    given = measured()
    store.put(given)
    assert store.get(given.job, "a", VERSIONS) == given
    assert store.measurements() == [given]
    assert store.repeated() == []


def test_one_of_each_job_device_and_versions(store: Store) -> None:
    store.put(measured(0.01))
    replacing = measured(0.02)
    store.put(replacing)
    elsewhere = measured(device=dataclasses.replace(DEVICE, name="other"))
    store.put(elsewhere)
    later = measured(0.03, versions=NEWER)
    store.put(later)
    assert store.measurements() == [replacing, elsewhere, later]


def test_versions_choose(store: Store) -> None:
    first, second = measured(0.01), measured(0.02, versions=NEWER)
    store.put(first)
    store.put(second)
    assert store.get(job(), "a", versions_of(job().query.target, DEVICE)) == first
    assert store.get(job(), "a", NEWER) == second
    assert store.get(job(), "a", {}) is None


def test_repeats_stand_beside_the_measurement(store: Store) -> None:
    rows = [measured(0.01), measured(0.02), measured(0.03)]
    store.put(rows[0])
    assert [store.put_repeat(m) for m in rows[1:]] == [1, 2]
    store.put(measured(job=job(1)))
    assert store.get(job(), "a", VERSIONS) == rows[0]
    assert store.measurements() == [rows[0], measured(job=job(1))]
    assert store.repeated() == [tuple(rows)]
    replacing = measured(0.04)
    store.put(replacing)
    assert store.repeated() == [(replacing, *rows[1:])]


STATUSES = ("unstable", "noisy", "ok")


@pytest.mark.parametrize("first", range(3))
@pytest.mark.parametrize("second", range(3))
def test_the_better_of_two_is_the_measurement(store: Store, first: int, second: int) -> None:
    one, two = measured(0.01, status=STATUSES[first]), measured(0.02, status=STATUSES[second])
    store.add_visit(job(), "a", VISIT, VERSIONS)
    store.put_better(one)
    assert store.visits(job(), "a", VERSIONS) == []
    store.put_better(two)
    wanted = (one, two) if first > second else (two, one)  # of equals the new one
    assert store.get(job(), "a", VERSIONS) == wanted[0]
    assert store.repeated() == [wanted]
    again = measured(0.03)
    assert store.put_repeat(again) == 2
    assert store.repeated() == [(*wanted, again)]


def test_a_repeat_of_nothing_is_the_measurement(store: Store) -> None:
    assert store.put_repeat(measured()) == 0
    assert store.put_repeat(measured(versions=NEWER)) == 0
    assert store.get(job(), "a", VERSIONS) == measured()


def test_selection_by_class_and_protocol(store: Store) -> None:
    first = measured()
    faster = dataclasses.replace(DEVICE, name="b", cores=3)
    second = measured(job=job(protocol="verify"), device=faster)
    store.put(first)
    store.put(second)
    assert store.measurements(device_class=DEVICE.device_class) == [first]
    assert store.measurements(protocol="verify") == [second]
    assert store.get(job(), "absent", VERSIONS) is None


def test_visits_keep_order_verdict_and_versions(store: Store) -> None:
    first = store.add_visit(job(), "a", VISIT, VERSIONS)
    second = store.add_visit(job(), "a", VISIT, VERSIONS)
    store.judge_visits([first], "disturbed")
    found = store.visits(job(), "a", VERSIONS)
    assert found == [(first, "disturbed", VISIT), (second, "pending", VISIT)]
    assert store.visits(job(), "a", NEWER) == []


def test_a_measurement_ends_its_visits_and_no_others(store: Store) -> None:
    store.add_visit(job(), "a", VISIT, VERSIONS)
    other = store.add_visit(job(), "a", VISIT, NEWER)
    store.put(measured())
    assert store.visits(job(), "a", VERSIONS) == []
    assert store.visits(job(), "a", NEWER) == [(other, "pending", VISIT)]


def test_qualities(store: Store) -> None:
    store.put_quality("wiki", "a" * 16, "fp32", 1.5)
    store.put_quality("wiki", "a" * 16, "fp32", 2.5)
    assert store.quality("wiki", "a" * 16, "fp32") == 2.5
    assert store.quality("wiki", "a" * 16, "bf16") is None
    with pytest.raises(InputError, match="finite"):
        store.put_quality("wiki", "a" * 16, "fp32", float("nan"))


def test_references_come_newest_first_by_device_target_and_versions(store: Store) -> None:
    for value in (0.003, 0.001, 0.002):
        store.add_reference("a", "t", VERSIONS, value)
    store.add_reference("a", "t", NEWER, 0.004)
    store.add_reference("a", "u", VERSIONS, 0.005)
    store.add_reference("b", "t", VERSIONS, 0.006)
    assert store.references("a", "t", VERSIONS) == [0.002, 0.001, 0.003]
    assert store.references("a", "t", VERSIONS, limit=1) == [0.002]
    assert store.references("a", "t", {}) == []
    with pytest.raises(InputError, match="positive"):
        store.add_reference("a", "t", VERSIONS, 0.0)


def test_a_clock_that_steps_back_changes_no_order(store: Store) -> None:
    now = datetime.datetime(2026, 11, 1, tzinfo=datetime.UTC)
    at = [(now - datetime.timedelta(hours=i)).isoformat() for i in range(4)]
    first, second = (measured(job=job(i), measured_at=at[i]) for i in range(2))
    later = measured(0.02, versions=NEWER, measured_at=at[2])
    again = measured(0.03, job=job(1), measured_at=at[3])
    for one in (first, second, later):
        store.put(one)
    store.put_repeat(again)
    assert store.measurements() == [first, second, later]
    assert store.get(job(), "a", NEWER) == later
    assert store.repeated() == [(second, again)]


def test_reopened_it_has_everything(url: str) -> None:
    with Store(url) as store:
        store.put(measured())
    with Store(url, create=False) as store:
        assert store.get(job(), "a", VERSIONS) == measured()


def test_a_file_is_made_with_its_folder_and_a_log_ahead(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "store.db"
    Store(f"sqlite:///{path}").close()
    raw = sqlite3.connect(path)
    mode = raw.execute("PRAGMA journal_mode").fetchone()[0]
    raw.close()
    assert mode == "wal"


def test_two_may_write_at_once(url: str) -> None:
    with Store(url) as one, Store(url) as two:
        one.put_quality("k", "a", "fp32", 1.0)
        two.put(measured())
        assert one.get(job(), "a", VERSIONS) == measured()
        assert two.put_repeat(measured(0.02)) == 1
        assert one.put_repeat(measured(0.03)) == 2


@pytest.mark.parametrize("damage", [b"this is no database at all, but long" * 50, b"\x00" * 4096])
def test_a_corrupt_file_is_named(tmp_path: Path, damage: bytes) -> None:
    path = tmp_path / "broken.db"
    path.write_bytes(damage)
    with pytest.raises(InputError, match=r"broken.db must be an intact.*restore"):
        Store(f"sqlite:///{path}")
    assert path.read_bytes() == damage


def test_a_page_overwritten_is_named(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    with Store(f"sqlite:///{path}") as store:
        store.put(measured())
    raw = bytearray(path.read_bytes())
    raw[4096:] = b"\x5a" * (len(raw) - 4096)
    path.write_bytes(raw)
    with pytest.raises(InputError, match=r"store\.db"), Store(f"sqlite:///{path}") as store:
        store.measurements()


def test_a_row_that_is_no_measurement(store: Store) -> None:
    store.put(measured())
    with store.database.writing() as connection:
        connection.execute(sa.text("UPDATE measurements SET measurement = '{\"job\": 1}'"))
    with pytest.raises(InputError, match=r"row of the store .*store"):
        store.measurements()


def test_a_file_name_is_a_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with Store("store.db"):
        assert (tmp_path / "store.db").exists()


def test_a_full_disk_leaves_earlier_rows(tmp_path: Path) -> None:
    with Store(f"sqlite:///{tmp_path}/store.db") as store:
        store.put(measured())

        def limit(connection: sqlite3.Connection, _: object) -> None:
            connection.execute("PRAGMA max_page_count=1")  # SQLITE_FULL as from a full disk

        sa.event.listen(store.database.engine, "connect", limit)
        big = measured(job=job(1), samples_s=((0.0123456,) * 20_000,))
        with pytest.raises(SurroundingsError, match=r"store.db must be writable.*full.*intact"):
            store.put(big)
        assert store.measurements() == [measured()]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 512 KiB."""
    place = tmp_path / "small"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(place)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"a file system cannot be mounted here: {done.stderr.strip()}")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def fill(store: Store) -> None:
    """Write until it is refused, 1 MiB at most."""
    for number in range(100):
        store.put(measured(job=job(number), samples_s=((0.0123456,) * 1000,)))


def test_a_disk_that_is_really_full(small_disk: Path) -> None:
    with Store(f"sqlite:///{small_disk}/store.db") as store:
        with pytest.raises(SurroundingsError, match=r"must be writable.*full.*free space"):
            fill(store)
        found = [m.job.seed for m in store.measurements()]
    assert found == list(range(len(found)))
    assert len(found) > 0
    with Store(f"sqlite:///{small_disk}/store.db") as store:
        assert [m.job.seed for m in store.measurements()] == found


@pytest.mark.parametrize("number", range(3))
def test_a_writer_killed_at_any_moment_loses_nothing_it_had_stored(url: str, number: int) -> None:
    with storing("write", url) as process:
        assert process.stdout is not None
        told = [process.stdout.readline() for _ in range(random.Random(number).randint(1, 30))]
        os.kill(process.pid, 9)
        told += process.stdout.readlines()
    known = int(told[-1]) + 1
    with Store(url, create=False) as store:
        found = [m.job.seed for m in store.measurements()]  # each is whole: it could be read
        assert found in (list(range(known)), list(range(known + 1)))
        assert store.put_repeat(measured()) >= 0  # and nothing is locked
