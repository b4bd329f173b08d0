from __future__ import annotations

import pytest

from fleetfit import Architecture, InputError, Precision
from search import CachedQuality, MemoryQualities
from supernet.spaces import ElasticSpace
from tests.search.toy import ToyQuality, toy_loss


def test_a_pair_is_evaluated_once_over_runs(tiny_space: ElasticSpace) -> None:
    store, quality = MemoryQualities(), ToyQuality()
    pairs: list[tuple[Architecture, Precision]] = [
        (tiny_space.largest(), "fp32"),
        (tiny_space.largest(), "bf16"),
    ]
    expected = [toy_loss(*p) for p in (*pairs, pairs[0])]
    for _ in range(2):
        cached = CachedQuality(quality, store=store, key="net")
        assert cached([*pairs, pairs[0]]) == expected
    assert len(quality.asked) == 2


def test_another_key_is_another_loss(tiny_space: ElasticSpace) -> None:
    store, quality = MemoryQualities(), ToyQuality()
    for key in ("a", "b"):
        CachedQuality(quality, store=store, key=key)([(tiny_space.largest(), "fp32")])
    assert len(quality.asked) == 2


@pytest.mark.parametrize("losses", [[float("inf")], [], [1.0, 2.0]])
def test_anything_but_one_finite_loss_is_refused(
    tiny_space: ElasticSpace, losses: list[float]
) -> None:
    cached = CachedQuality(lambda _: losses, store=MemoryQualities())
    with pytest.raises(InputError, match="one finite loss"):
        cached([(tiny_space.largest(), "fp32")])
