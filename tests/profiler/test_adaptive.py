from __future__ import annotations

import itertools

import numpy as np
import pytest

from fleetfit import Architecture, InputError, LayerTable, Query, Target, Workload
from profiler import next_batch, plan
from profiler.coverage import FloatArray, Metric
from supernet.spaces import SearchSpace
from tests.supernet.spaces.spaces import ELASTIC, SPACES

WORKLOAD = Workload()
TARGETS = (Target(runtime="onnxruntime"), Target(runtime="openvino"))


def asked(networks: list[Architecture]) -> list[Query]:
    return [Query(architecture=a, target=t, workload=WORKLOAD) for a in networks for t in TARGETS]


def by_depth(table: LayerTable, target: Target, workload: Workload) -> FloatArray:
    """The second target knows little of deep networks, the first knows all alike."""
    deep = np.where((table.width > 0).sum(axis=1) == 6, 1.0, 0.01)
    return np.asarray(deep if target == TARGETS[1] else np.full(len(table), 0.05))


def batch(space: SearchSpace, networks: list[Architecture], count: int) -> list[Architecture]:
    rng = np.random.default_rng(1)
    return next_batch(space, asked(networks), by_depth, count=count, rng=rng)


@pytest.mark.parametrize("name", SPACES)
def test_members_that_were_not_measured_each_once(name: str) -> None:
    space = SPACES[name]
    known = plan(space, 20, np.random.default_rng(0))
    found = batch(space, known, 10)
    assert all(space.contains(a) for a in found)
    assert not {a.cost_id for a in known} & {a.cost_id for a in found}
    assert len({a.cost_id for a in found}) == len(found)
    assert len(found) == 10 or len(known) + len(found) <= space.size


def test_where_any_target_is_least_sure() -> None:
    space = ELASTIC["default"]
    known = plan(space, 20, np.random.default_rng(0))
    assert {len(a.layers) for a in batch(space, known, 5)} == {6}


def test_a_batch_is_no_set_of_near_copies() -> None:
    space = ELASTIC["default"]
    known = plan(space, 20, np.random.default_rng(0))
    found = batch(space, known, 10)
    rng = np.random.default_rng(2)
    deep = [a for a in (space.sample(rng) for _ in range(400)) if len(a.layers) == 6]
    metric = Metric.of(LayerTable.of([*known, *deep]))

    def nearest(networks: list[Architecture]) -> float:
        points = metric.points(LayerTable.of(networks))
        pairs = itertools.combinations(range(len(networks)), 2)
        return float(min(np.linalg.norm(points[i] - points[j]) for i, j in pairs))

    random = [nearest([deep[i] for i in rng.permutation(len(deep))[:10]]) for _ in range(20)]
    assert nearest(found) > max(random)


def test_widths_that_are_all_alike_leave_the_spread() -> None:
    space = ELASTIC["default"]
    known = plan(space, 20, np.random.default_rng(0))
    rng = np.random.default_rng(1)
    queries = [q for q in asked(known) if q.target == TARGETS[0]]
    found = next_batch(space, queries, by_depth, count=5, rng=rng)
    assert len({a.cost_id for a in found}) == 5


def test_a_longer_batch_begins_with_the_shorter() -> None:
    space = ELASTIC["default"]
    known = plan(space, 20, np.random.default_rng(0))
    assert batch(space, known, 9)[:4] == batch(space, known, 4)


@pytest.mark.parametrize("name", [n for n, space in SPACES.items() if space.size <= 300])
def test_nothing_is_left_where_all_was_measured(name: str) -> None:
    space = SPACES[name]
    known = plan(space, 1000, np.random.default_rng(0))
    assert batch(space, known, 5) == []
    if len(known) > 1:
        assert batch(space, known[:-1], 5) == known[-1:]


def test_nothing_measured_is_refused() -> None:
    with pytest.raises(InputError, match="that were measured"):
        batch(ELASTIC["full"], [], 5)
    with pytest.raises(InputError, match="count >= 1"):
        batch(ELASTIC["full"], [ELASTIC["full"].largest()], 0)
