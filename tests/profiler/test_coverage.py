from __future__ import annotations

import numpy as np
import pytest

from fleetfit import LayerTable
from profiler.coverage import Metric, Spread, mean_sizes
from profiler.plan import stacked
from supernet.spaces import ElasticSpace
from tests.supernet.spaces.spaces import ELASTIC


@pytest.fixture
def wide() -> ElasticSpace:
    return ELASTIC["default"]


def test_both_halves_weigh_the_same(wide: ElasticSpace) -> None:
    rng = np.random.default_rng(0)
    table = LayerTable.of([wide.sample(rng) for _ in range(60)])
    points = Metric.of(table).points(table)
    for half in (points[:, :9], points[:, 9:]):
        squares = ((half[:, None] - half[None]) ** 2).sum(axis=2)
        assert squares.mean() == pytest.approx(1.0)


def test_the_order_of_layers_hardly_matters(wide: ElasticSpace) -> None:
    first, second, other = (384, 12, 384), (384, 12, 1536), (384, 4, 768)
    rows = ([first, second, second], [second, second, first], [other, second, second])
    table = LayerTable.of([wide.build(384, row) for row in rows])
    points = Metric.of(table).points(table)
    assert np.linalg.norm(points[0] - points[1]) == 0
    assert np.linalg.norm(points[0] - points[2]) > 0.1


def test_a_space_of_one_has_a_metric(wide: ElasticSpace) -> None:
    table = LayerTable.of([wide.largest()] * 2)
    assert (Metric.of(table).points(table) == 0).all()


def test_the_farthest_candidate_by_brute_force(wide: ElasticSpace) -> None:
    rng = np.random.default_rng(0)
    genomes = stacked(wide, [wide.sample(rng) for _ in range(50)])
    table = wide.layer_table(genomes)
    metric = Metric.of(table)
    spread = Spread(wide, metric)
    spread.add(genomes[:20])
    for chosen in (3, 7):
        spread.choose(genomes[chosen])
    spread.add(genomes[20:])  # later ones know of what was chosen before
    points = metric.points(table)
    expected = np.min([np.linalg.norm(points - points[i], axis=1) for i in (3, 7)], axis=0)
    np.testing.assert_allclose(spread.distance, expected)
    among = np.arange(50) % 2 == 0
    best = spread.farthest(among)
    assert best is not None
    assert among[best]
    assert expected[best] == expected[among].max()
    assert spread.farthest(np.zeros(50, dtype=bool)) is None


def test_mean_sizes_by_hand(wide: ElasticSpace) -> None:
    arch = wide.build(288, [(288, 4, 384), (384, 12, 1536), (384, 8, 768)])
    found = mean_sizes(LayerTable.of([arch, wide.largest()]))
    np.testing.assert_allclose(found[0], [3, 288, 352, 256, 896])
    np.testing.assert_allclose(found[1], [6, 384, 384, 384, 1536])
