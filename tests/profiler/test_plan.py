from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from fleetfit import Architecture, InputError, LayerTable, Workload, macs, parameters
from profiler import plan
from profiler.plan import extremes
from supernet.spaces import ElasticSpace, SearchSpace
from tests.supernet.spaces.spaces import ELASTIC, SPACES, SUPERSHAPER

LARGE = sorted(name for name, space in SPACES.items() if space.size > 5000)


@pytest.mark.parametrize("name", SPACES)
def test_distinct_members_largest_and_smallest_first(name: str) -> None:
    space = SPACES[name]
    chosen = plan(space, 40, np.random.default_rng(0))
    assert len(chosen) == len({a.cost_id for a in chosen}) == min(40, space.size)
    assert all(space.contains(a) for a in chosen)
    assert chosen[0] == space.largest()
    assert chosen[min(1, len(chosen) - 1)] == space.smallest()


@pytest.mark.parametrize("name", SPACES)
def test_extremes_and_a_fifth_of_uniform_networks_are_in(name: str) -> None:
    space = SPACES[name]
    chosen = plan(space, 40, np.random.default_rng(0))
    assert set(extremes(space)) <= set(chosen)
    uniform = set(space.uniform())
    assert len(uniform & set(chosen)) >= min(8, len(uniform))


def test_extremes_of_each_dimension_by_hand() -> None:
    space = ELASTIC["default"]
    wide, narrow = (384, 12, 1536), (192, 4, 384)
    assert set(extremes(space)) == {
        space.build(384, [wide] * 6),
        space.build(192, [narrow] * 3),
        space.build(384, [wide] * 3),  # shallowest of the widest
        space.build(192, [narrow] * 6),  # deepest of the narrowest
        space.build(192, [wide] * 6),
        space.build(384, [narrow] * 3),
        space.build(384, [(192, 12, 1536)] * 6),
        space.build(192, [(384, 4, 384)] * 3),
        space.build(384, [(384, 4, 1536)] * 6),
        space.build(192, [(192, 12, 384)] * 3),
        space.build(384, [(384, 12, 384)] * 6),
        space.build(192, [(192, 4, 1536)] * 3),
    }


def test_one_elastic_dimension_has_two_extremes() -> None:
    space = SUPERSHAPER["supershaper_default"]
    assert extremes(space) == [space.largest(), space.smallest()]


@pytest.mark.parametrize("name", SPACES)
def test_a_longer_plan_from_the_same_seed_begins_with_the_shorter(name: str) -> None:
    # 105: a second draw of candidates has begun
    long = plan(SPACES[name], 105, np.random.default_rng(3))
    assert plan(SPACES[name], 37, np.random.default_rng(3)) == long[:37]


@pytest.mark.parametrize("name", [n for n, space in SPACES.items() if space.size <= 300])
def test_a_small_space_is_measured_whole(name: str) -> None:
    space = SPACES[name]
    chosen = plan(space, 1000, np.random.default_rng(0))
    assert len({a.cost_id for a in chosen}) == len(chosen) == space.size


def _sizes(networks: Sequence[Architecture]) -> np.ndarray:
    """Logs of work by kind and of parameters: not the plan's own measure of distance."""
    table = LayerTable.of(networks)
    count = macs(table, Workload())
    kinds = (count.attention_linear, count.feed_forward, parameters(table), count.total)
    return np.log(np.stack(kinds, axis=1))


@pytest.mark.parametrize("name", LARGE)
def test_members_are_nearer_to_a_plan_than_to_random_draws(name: str) -> None:
    space = SPACES[name]
    rng = np.random.default_rng(0)
    members = _sizes([_anyone(space, rng) for _ in range(300)])

    def reach(networks: Sequence[Architecture]) -> float:
        """Root mean square distance of a member to the nearest of ``networks``."""
        away = np.linalg.norm(members[:, None] - _sizes(networks)[None], axis=2)
        return float(np.sqrt((away.min(axis=1) ** 2).mean()))

    random = [reach([space.sample(rng) for _ in range(30)]) for _ in range(9)]
    assert reach(plan(space, 30, np.random.default_rng(0))) < np.median(random)


def _anyone(space: SearchSpace, rng: np.random.Generator) -> Architecture:
    """A member of any size: random draws of many layers are all of nearly the same."""
    arch = space.largest() if rng.random() < 0.5 else space.smallest()
    for _ in range(int(rng.integers(1, 6))):
        arch = space.mutate(arch, rng)
    return arch


@pytest.mark.parametrize("count", [1, 2, 3])
def test_short_plans(space: ElasticSpace, count: int) -> None:
    assert len(plan(space, count, np.random.default_rng(0))) == count


def test_an_empty_plan_is_refused(space: ElasticSpace) -> None:
    with pytest.raises(InputError, match="count >= 1"):
        plan(space, 0, np.random.default_rng(0))
