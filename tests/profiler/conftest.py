from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from devices import describe
from fleetfit import Architecture, DeviceInfo, Embedding, FeedForward, Layer, SelfAttention
from profiler import Store
from supernet.spaces import ElasticSpace

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


@pytest.fixture
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Real measurements take their lock and scratch here; children find the packages."""
    place = tmp_path / "tmp"
    place.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(place))
    monkeypatch.setattr("devices.lock._PLACE", place / "lock")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    return place
