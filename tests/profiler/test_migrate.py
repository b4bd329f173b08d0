from __future__ import annotations

import contextlib
import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from fleetfit import InputError, Measurement
from profiler import Store, contents_of
from profiler.database import Database
from profiler.schema import METADATA, SCHEMA_VERSION
from tests.profiler.conftest import NewUrl
from tests.profiler.stored import (
    VERSIONS,
    VISIT,
    asked,
    job,
    killed_in_turn,
    measured,
    storing,
    write_version_1,
)


def cut_to_runtime(measurement: Measurement) -> Measurement:
    """With the version of its runtime alone."""
    return dataclasses.replace(measurement, versions=VERSIONS)


@pytest.mark.parametrize("old", [True, False])
def test_migrations_lead_to_the_tables_of_the_program(url: str, old: bool) -> None:
    if old:
        write_version_1(url, 3)
    Store(url).close()
    with Database(url, create=False).reading() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, METADATA) == []
        assert context.get_current_heads() == (str(SCHEMA_VERSION),)


def test_a_store_of_version_1_keeps_everything(url: str) -> None:
    kept = write_version_1(url, 250)
    with Store(url, create=False) as store:
        assert store.measurements() == [cut_to_runtime(m) for m in kept]
        assert store.get(kept[0].job, "a", VERSIONS) == kept[0]
        assert store.get(kept[-1].job, "a", VERSIONS) == cut_to_runtime(kept[-1])
        assert [(v, one) for _, v, one in store.visits(job(250), "a", VERSIONS)] == [
            ("good", VISIT)
        ]
        assert store.quality("k", "x", "fp32") == 1.5
        assert len(contents_of(store).measurements) == 250  # which compares every digest
        store.put(measured(0.5, job=job(1000)))
        assert store.measurements()[-1].job == job(1000)


def test_one_of_version_1_that_was_cut_short_when_it_was_made(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/store.db"
    write_version_1(url, 1)
    with Database(url, create=False).writing() as connection:
        connection.exec_driver_sql("DROP TABLE qualities")
        connection.exec_driver_sql("DELETE FROM meta")
    with Store(url) as store:
        assert len(store.measurements()) == 1
        assert store.quality("k", "x", "fp32") is None


def test_a_program_of_version_1_refuses_it(url: str) -> None:
    Store(url).close()
    with Database(url, create=False).reading() as connection:
        found = connection.scalar(sa.text("SELECT value FROM meta WHERE name = 'schema'"))
    assert found == "2"  # it takes 1 alone


@pytest.mark.parametrize("text", ["3", "1a2b3c"])
def test_a_store_of_a_newer_program(url: str, text: str) -> None:
    with Store(url) as store, store.database.writing() as connection:
        connection.execute(sa.text(f"UPDATE alembic_version SET version_num = '{text}'"))
    with pytest.raises(InputError, match=f"version 2 or an earlier one, but has {text}; use"):
        Store(url)


def test_without_create_there_must_be_one(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no\.db must exist, but is not there; check its name"):
        Store(f"sqlite:///{tmp_path}/folder/no.db", create=False)
    assert list(tmp_path.iterdir()) == []


def test_without_create_an_empty_one_stays_empty(new_url: NewUrl) -> None:
    url = new_url()
    if url.startswith("sqlite"):
        Path(url.removeprefix("sqlite:///")).touch()
    with pytest.raises(InputError, match="must hold measurements, but is empty"):
        Store(url, create=False)
    with Database(url, create=True).reading() as connection:
        assert sa.inspect(connection).get_table_names() == []


def test_opening_a_current_store_imports_no_alembic(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/store.db"
    Store(url).close()
    code = (
        "import sys; from profiler import Store; Store(sys.argv[1]).measurements(); "
        "sys.exit('alembic' in sys.modules)"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code, url], cwd=root, check=False)
    assert done.returncode == 0


def test_processes_that_open_one_at_once_all_succeed(new_url: NewUrl) -> None:
    with contextlib.ExitStack() as stack:
        processes = [stack.enter_context(storing("open", "")) for _ in range(3)]
        assert [asked(one) for one in processes] == ["ready"] * 3
        for number in range(8):
            url = new_url()
            if number % 2:
                write_version_1(url, 20)
            for one in processes:
                assert one.stdin is not None
                one.stdin.write(url + "\n")
                one.stdin.flush()
            assert [asked(one) for one in processes] == ["done"] * 3
            with Store(url, create=False) as store:
                (rows,) = store.repeated()
                assert len(rows) == 3 + number % 2


def test_killed_at_any_statement_it_is_old_or_new(new_url: NewUrl, tmp_path: Path) -> None:
    source = new_url()
    kept = [cut_to_runtime(m) for m in write_version_1(source, 130)]
    deaths = 0
    with storing("migrate", f"sqlite:///{tmp_path}/unused.db") as process:
        for url in killed_in_turn(process, new_url, source):
            deaths += 1
            with Store(url) as store:
                assert store.measurements() == kept
                assert store.quality("k", "x", "fp32") == 1.5
    assert deaths > 4


@pytest.mark.parametrize("text", ["{no JSON", '{"job": {}}', "[]", '{"job": 1, "device": 2}'])
def test_a_damaged_row_is_named_and_nothing_is_touched(url: str, text: str) -> None:
    write_version_1(url, 3)
    database = Database(url, create=False)
    with database.writing() as connection:
        damage = sa.text("UPDATE measurements SET measurement = :text WHERE id = 2")
        connection.execute(damage, {"text": text})
    with database.reading() as connection:
        before = connection.execute(sa.text("SELECT * FROM measurements")).all()
    wanted = r"that of id 2 is not: .* Restore it from a copy"
    with pytest.raises(InputError, match=wanted) as caught:
        Store(url)
    assert database.name in str(caught.value)
    assert "\n" not in str(caught.value)
    with database.reading() as connection:
        assert connection.execute(sa.text("SELECT * FROM measurements")).all() == before
        assert connection.scalar(sa.text("SELECT value FROM meta")) == "1"
        assert not sa.inspect(connection).has_table("alembic_version")
    database.close()
