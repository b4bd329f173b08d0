from __future__ import annotations

import numpy as np
import pytest

from fleetfit import Architecture, InputError, LayerTable, Workload, macs
from profiler import plan
from supernet.spaces import ElasticChoices, ElasticSpace


def test_ends_first_then_distinct_members(space: ElasticSpace) -> None:
    chosen = plan(space, 30, np.random.default_rng(0))
    assert len(chosen) == len({a.cost_id for a in chosen}) == 30
    assert chosen[:2] == [space.largest(), space.smallest()]
    assert all(space.contains(a) for a in chosen)


def test_a_fifth_are_uniform(space: ElasticSpace) -> None:
    uniform = {a.id for a in space.uniform()}
    chosen = plan(space, 30, np.random.default_rng(0))
    assert sum(a.id in uniform for a in chosen[2:]) >= 6


def test_the_same_seed_gives_the_same_plan(space: ElasticSpace) -> None:
    first, second = (plan(space, 12, np.random.default_rng(3)) for _ in range(2))
    assert first == second


def test_costs_are_spread_wider_than_random_draws(space: ElasticSpace) -> None:
    def largest_gap(archs: list[Architecture]) -> float:
        costs = np.log(np.sort(macs(LayerTable.of(archs), Workload()).total))
        return float(np.diff(costs).max())

    rng = np.random.default_rng(0)
    random = [[space.largest(), space.smallest(), *(space.sample(rng) for _ in range(18))]]
    random += [[*random[0][:2], *(space.sample(rng) for _ in range(18))] for _ in range(8)]
    ours = largest_gap(plan(space, 20, rng))
    assert ours < np.median([largest_gap(archs) for archs in random])


@pytest.mark.parametrize("count", [1, 2, 3])
def test_short_plans(space: ElasticSpace, count: int) -> None:
    assert len(plan(space, count, np.random.default_rng(0))) == count


def test_a_space_of_one(space: ElasticSpace) -> None:
    only = ElasticChoices(depths=(3,), embedding_widths=(32,), widths=(32,), heads=(4,), ffns=(64,))
    lone = ElasticSpace(source=space.source, choices=only)
    assert plan(lone, 5, np.random.default_rng(0)) == [lone.largest()]


def test_an_empty_plan_is_refused(space: ElasticSpace) -> None:
    with pytest.raises(InputError, match="count >= 1"):
        plan(space, 0, np.random.default_rng(0))
