from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa

from fleetfit import FleetfitError, InputError, SurroundingsError
from profiler import Store
from profiler.database import Database
from tests.profiler.postgres import PASSWORD, Server
from tests.profiler.stored import measured


def refusal(url: str, kind: type[FleetfitError]) -> str:
    """The one sentence of the error of opening it."""
    with pytest.raises(kind) as caught:
        Store(url)
    said = str(caught.value)
    assert "\n" not in said
    assert PASSWORD not in said
    assert said.endswith(".")
    return said


@pytest.mark.parametrize("url", ["nosuch:///x", "sqlite://", "sqlite:///:memory:", "x:y"])
def test_a_bad_url(url: str) -> None:
    assert "sqlite:///" in refusal(url, InputError)


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://u:{PASSWORD}@host:port/db",
        f"postgresql://u:12@{PASSWORD}@host:/db:x",
        f"postgresql://u:12@{PASSWORD}@host/db",
        f"postgresql+psycopg2://u:12@{PASSWORD}@host/db",
        f"mysql://u:{PASSWORD}@host/db",
        f"nosuch://u:{PASSWORD}@host/db?password={PASSWORD}",
    ],
)
def test_a_bad_url_keeps_its_password_to_itself(url: str) -> None:
    assert "must be a URL" in refusal(url, InputError)


def test_a_folder_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert "folder of the store" in refusal(f"{tmp_path}/file/store.db", SurroundingsError)


def test_a_missing_driver_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    said = refusal(f"postgresql://u:{PASSWORD}@127.0.0.1/db", SurroundingsError)
    assert "pip install 'fleetfit[postgres]'" in said


def test_a_server_that_is_down() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        said = refusal(f"postgresql://u:{PASSWORD}@127.0.0.1:{port}/db", SurroundingsError)
    assert f"postgresql://u:***@127.0.0.1:{port}/db must answer" in said


def test_a_wrong_password(postgres: Server) -> None:
    said = refusal(postgres.url("postgres", password="wrong"), InputError)
    assert "must let this user in" in said
    assert "wrong" not in said


def test_a_database_that_is_not_there(postgres: Server) -> None:
    assert 'database "nowhere" does not exist' in refusal(postgres.url("nowhere"), InputError)


def test_the_driver_is_psycopg_3_whether_named_or_not(postgres: Server) -> None:
    url = postgres.new_database()
    for given in (url, url.replace("postgresql:", "postgresql+psycopg:")):
        with Store(given) as store:
            assert store.database.engine.driver == "psycopg"
            assert store.name == url.replace(PASSWORD, "***")


def delete_while_it_dies(store: Store, server: Server) -> None:
    with store.database.writing() as connection:
        connection.execute(sa.text("DELETE FROM measurements"))
        server.stop()
        connection.execute(sa.text("SELECT 1"))


def test_a_server_that_dies_in_the_middle_of_work(postgres: Server) -> None:
    with Store(postgres.new_database()) as store:
        store.put(measured())
        try:
            with pytest.raises(SurroundingsError, match=r"must answer.*start it") as caught:
                delete_while_it_dies(store, postgres)
            assert PASSWORD not in str(caught.value)
            with pytest.raises(SurroundingsError, match="must answer"):
                store.measurements()
        finally:
            postgres.start()
        assert store.measurements() == [measured()]


def test_a_value_that_the_server_does_not_take_is_one_sentence(postgres: Server) -> None:
    with Store(postgres.new_database()) as store:
        wanted = r"must be given values that its tables take.*too long.*give other values\.$"
        with pytest.raises(InputError, match=wanted) as caught:
            store.put_quality("k" * 1000, "a", "fp32", 1.0)
        assert "\n" not in str(caught.value)
        assert store.quality("k" * 1000, "a", "fp32") is None


def test_a_writer_that_holds_the_store_is_waited_for_and_then_told(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    Store(url).close()
    monkeypatch.setattr("profiler.database._WAIT_MS", 50)
    holder, other = Database(url, create=False), Database(url, create=False)
    with holder.writing():
        with other.reading() as connection:
            assert connection.scalar(sa.text("SELECT count(*) FROM qualities")) == 0
        wanted = r"another process writes to it .*lock.*; wait for it or end it\.$"
        with pytest.raises(SurroundingsError, match=wanted), other.writing():
            pass
    with other.writing():
        pass


def test_a_store_that_may_not_be_written(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    path = tmp_path / "store.db"
    with Store(f"{path}") as store:
        path.chmod(0o400)
        with pytest.raises(SurroundingsError, match="check the permissions"):
            store.put(measured())
