from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from devices import describe
from fleetfit import Architecture, DeviceInfo, Embedding, FeedForward, Layer, SelfAttention
from profiler import Store
from supernet.spaces import ElasticSpace
from tests.profiler.postgres import Server, binaries

ROOT = Path(__file__).parents[2]


@pytest.fixture
def space() -> ElasticSpace:
    layers = tuple(
        Layer(
            width=32,
            sublayers=(SelfAttention(heads=4, head_dim=8), FeedForward(widths=(64,))),
            projected=False,
            source=i,
        )
        for i in range(3)
    )
    embedding = Embedding(vocab_size=100, width=32, max_positions=32, segments=2)
    return ElasticSpace.of(Architecture(embedding=embedding, layers=layers))


@pytest.fixture
def device() -> DeviceInfo:
    return describe()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(f"sqlite:///{tmp_path}/store.db") as store:
        yield store


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    folder = binaries()
    if folder is None:
        pytest.skip("PostgreSQL is not installed (neither on the path nor in /usr/lib/postgresql)")
    server = Server(folder)
    yield server
    server.remove()


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Of a store that does not exist yet, on either database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/store.db"
    server: Server = request.getfixturevalue("postgres")
    return server.new_database()


NewUrl = Callable[..., str]
"""Gives the URL of a new store each time: of none, or of a copy of one that nobody uses."""


@pytest.fixture(params=["sqlite", "postgresql"])
def new_url(request: pytest.FixtureRequest, tmp_path: Path) -> NewUrl:
    """On either database."""
    if request.param == "postgresql":
        server: Server = request.getfixturevalue("postgres")
        return server.new_database
    numbers = itertools.count()

    def new_file(source: str | None = None) -> str:
        url = f"sqlite:///{tmp_path}/{next(numbers)}.db"
        if source is not None:
            shutil.copy(source.removeprefix("sqlite:///"), url.removeprefix("sqlite:///"))
        return url

    return new_file


@pytest.fixture
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Real measurements take their lock and scratch here; children find the packages."""
    place = tmp_path / "tmp"
    place.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(place))
    monkeypatch.setattr("devices.lock.PLACE", place / "lock")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    return place
