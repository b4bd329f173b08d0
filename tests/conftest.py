"""Small values that every suite shares; a test asks for them by argument name."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

from fleetfit import Architecture, Embedding, FeedForward, Head, Layer, SelfAttention
from supernet.spaces import ElasticChoices, ElasticSpace

# The same examples in every run, and no clock: the machine may be busy.
settings.register_profile(
    "repeatable",
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("repeatable")


def build_tiny_source(*, head: Head | None = None) -> Architecture:
    """Three equal layers, 32 wide, 4 heads of 8, feed-forward 64, 100 words, 40 positions."""
    sublayers = (SelfAttention(heads=4, head_dim=8), FeedForward(widths=(64,)))
    return Architecture(
        embedding=Embedding(vocab_size=100, width=32, max_positions=40, segments=2),
        layers=tuple(
            Layer(width=32, sublayers=sublayers, projected=False, source=i) for i in range(3)
        ),
        head=head or Head(),
    )


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Tokenised text of tests stays out of the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FLEETFIT_CACHE", str(tmp_path_factory.mktemp("tokens")))
        yield


@pytest.fixture(scope="session", autouse=True)
def _own_lock(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Tests neither wait for a measurement on this machine nor hold one up."""
    place = tmp_path_factory.mktemp("lock") / "measuring.lock"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("devices.lock.PLACE", place)
        patch.setattr("devices.trainings.PLACE", place)
        yield


@pytest.fixture
def cuda() -> None:
    """Skips where torch finds no GPU."""
    if not pytest.importorskip("torch").cuda.is_available():
        pytest.skip("torch finds no GPU")


@pytest.fixture
def tiny_source() -> Architecture:
    """``build_tiny_source()``."""
    return build_tiny_source()


@pytest.fixture
def tiny_space(tiny_source: Architecture) -> ElasticSpace:
    """Depth 2 or 3, widths 16 and 32, 2 or 4 heads, feed-forward 32 or 64, around the source."""
    choices = ElasticChoices(
        depths=(2, 3), embedding_widths=(16, 32), widths=(16, 32), heads=(2, 4), ffns=(32, 64)
    )
    return ElasticSpace(source=tiny_source, choices=choices)


@pytest.fixture
def rng() -> np.random.Generator:
    """A generator with a fixed seed, fresh for each test."""
    return np.random.default_rng(20)
