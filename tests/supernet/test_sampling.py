"""The contract of sampling, over every space: members of a step follow from (seed, step) alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fleetfit import InputError
from supernet.sampling import Sampling
from supernet.spaces import SearchSpace
from tests.supernet.spaces.spaces import SPACES
from tests.supernet.tiny import tiny_space

SAMPLINGS = {
    "default": Sampling(),
    "extremes": Sampling(random_members=0),
    "sandwich": Sampling(random_members=3, distribution="independent"),
    "single_path": Sampling(strategy="single_path"),
    "single_path_independent": Sampling(strategy="single_path", distribution="independent"),
    "batch_wise": Sampling(strategy="batch_wise", random_members=4),
    "batch_wise_independent": Sampling(
        strategy="batch_wise", random_members=4, distribution="independent"
    ),
}


@pytest.fixture(params=SAMPLINGS)
def sampling(request: pytest.FixtureRequest) -> Sampling:
    return SAMPLINGS[request.param]


@pytest.fixture(params=SPACES)
def space(request: pytest.FixtureRequest) -> SearchSpace:
    return SPACES[request.param]


def test_members_are_of_the_space_under_their_names(sampling: Sampling, space: SearchSpace) -> None:
    drawn = sampling.members(space, seed=3, step=5)
    randoms = [f"random{i}" for i in range(sampling.random_members)]
    ends = ["largest", "smallest"] if sampling.strategy == "sandwich" else []
    assert list(drawn) == ends + randoms
    assert all(space.contains(arch) for arch in drawn.values())
    if ends:
        assert drawn["largest"] == space.largest()
        assert drawn["smallest"] == space.smallest()


def test_members_follow_from_seed_and_step_alone(sampling: Sampling, space: SearchSpace) -> None:
    forwards = [sampling.members(space, seed=3, step=step) for step in range(10)]
    np.random.seed(77)  # what a stranger does to the global generator
    backwards = [sampling.members(space, seed=3, step=step) for step in reversed(range(10))]
    assert forwards == backwards[::-1]


def test_steps_and_seeds_differ(sampling: Sampling) -> None:
    if not sampling.random_members:
        return
    space = SPACES["default"]

    def first(seed: int, step: int) -> str:
        return sampling.members(space, seed=seed, step=step)["random0"].id

    assert len({first(3, step) for step in range(20)}) > 15
    assert len({first(seed, 3) for seed in range(20)}) > 15


def test_more_random_members_keep_the_first(space: SearchSpace) -> None:
    few = Sampling(strategy="batch_wise", random_members=2).members(space, seed=0, step=9)
    many = Sampling(strategy="batch_wise", random_members=5).members(space, seed=0, step=9)
    assert {name: many[name] for name in few} == few


def test_independent_genes_are_uniform() -> None:
    space = SPACES["full"]
    sampling = Sampling(strategy="batch_wise", random_members=3000, distribution="independent")
    drawn = sampling.members(space, seed=0, step=0).values()
    depths = np.bincount([len(arch.layers) for arch in drawn])[1:]
    widths = np.bincount([arch.layers[0].width for arch in drawn])[[16, 24, 32]]
    assert np.abs(depths / 3000 - 1 / 3).max() < 0.04
    assert np.abs(widths / 3000 - 1 / 3).max() < 0.04


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"random_members": -1}, "Random members must be >= 0 for sandwich"),
        ({"strategy": "batch_wise", "random_members": 0}, "must be >= 1 for batch_wise"),
        ({"strategy": "single_path", "random_members": 2}, "a single_path must be 1"),
        ({"strategy": "sandwhich"}, "Sampling.strategy must be one of"),
        ({"distribution": "uniform"}, "Sampling.distribution must be one of"),
    ],
    ids=str,
)
def test_what_cannot_be_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Sampling(**change)


def test_the_ends_may_come_now_and_then_only() -> None:
    """Against the sandwich of every step: the same random members, the ends in each third."""
    space = tiny_space()
    every, thin = Sampling(random_members=2), Sampling(random_members=2, ends_every=3)
    for step in range(7):
        whole = every.members(space, seed=5, step=step)
        found = thin.members(space, seed=5, step=step)
        ends = {"largest", "smallest"} if step % 3 == 0 else set()
        assert found == {n: a for n, a in whole.items() if n in ends or n.startswith("random")}


@pytest.mark.parametrize(
    "given",
    [
        {"ends_every": 0},
        {"ends_every": 2, "random_members": 0},
        {"ends_every": 2, "strategy": "single_path"},
    ],
    ids=str,
)
def test_ends_that_cannot_be_left_out_are_refused(given: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="ends_every >= 1"):
        Sampling(**given)


def test_shares_of_a_step_by_hand() -> None:
    names = ("largest", "smallest", "random0")
    assert Sampling().shares(names) == {name: 1 / 3 for name in names}
    heavy = Sampling(largest_weight=4.0)
    assert heavy.shares(names) == {"largest": 4 / 6, "smallest": 1 / 6, "random0": 1 / 6}
    assert heavy.shares(("random0", "random1")) == {"random0": 0.5, "random1": 0.5}


@pytest.mark.parametrize("strategy", ["single_path", "batch_wise"])
def test_a_weight_of_the_largest_is_of_a_sandwich(strategy: Any) -> None:
    with pytest.raises(InputError, match=f"`largest_weight` must be 1 for {strategy}"):
        Sampling(strategy=strategy, largest_weight=4.0)


@pytest.mark.parametrize("weight", [0.0, -1.0, float("inf"), float("nan")])
def test_a_weight_of_the_largest_is_positive(weight: float) -> None:
    with pytest.raises(InputError, match="largest_weight > 0"):
        Sampling(largest_weight=weight)
