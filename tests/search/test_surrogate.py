from __future__ import annotations

import numpy as np

from search.surrogate import Features, Surrogate
from supernet.spaces import ElasticSpace
from tests.search.toy import toy_loss


def test_predicts_held_out_losses(tiny_space: ElasticSpace) -> None:
    rng = np.random.default_rng(3)
    archs = list({tiny_space.sample(rng) for _ in range(120)})
    archs.sort(key=lambda a: a.id)
    features = Features(tiny_space.largest())
    x = features([(a, "fp32") for a in archs])
    y = np.array([toy_loss(a, "fp32") for a in archs])
    half = len(archs) // 2
    mean, std = Surrogate().fit(x[:half], y[:half]).predict(x[half:])
    assert np.corrcoef(mean, y[half:])[0, 1] > 0.95
    assert (std > 0).all()


def test_a_batch_has_no_row_twice(tiny_space: ElasticSpace) -> None:
    rng = np.random.default_rng(0)
    x = rng.random((30, 5))
    picked = Surrogate().fit(x[:10], x[:10].sum(axis=1)).choose(x, 12)
    assert len(set(picked)) == 12


def test_equal_losses_are_no_obstacle() -> None:
    x = np.eye(4)
    mean, _ = Surrogate().fit(x, np.full(4, 2.0)).predict(x)
    assert np.allclose(mean, 2.0)
