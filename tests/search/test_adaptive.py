from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from devices import describe
from fleetfit import InputError, Measurement, Query, Target, Workload
from profiler import Store, SurveySettings, plan
from profiler.fake import FakeBench
from profiler.survey import Survey
from search.adaptive import Aim, Means, profile_until, queries_of
from supernet.spaces import ElasticSpace
from tests.supernet.spaces.spaces import ELASTIC

SPACE = ELASTIC["default"]
PAIRS = (
    (Target(runtime="onnxruntime"), Workload()),
    (Target(runtime="openvino"), Workload(seq_len=32)),
)
VISITS = SurveySettings().protocol.visits


class Place:
    """A store whose surveys run on FakeBench, and the visits made in all of them."""

    def __init__(self, path: Path) -> None:
        self.url, self.visited = f"sqlite:///{path / 's.db'}", Counter[str]()
        self.left = 10**9
        """Visits until the user interrupts."""

    def survey(self, queries: Sequence[Query]) -> Survey:
        store = Store(self.url)
        return Survey(queries, store=store, device=describe(), settings=SurveySettings())

    def measure(self, queries: Sequence[Query]) -> list[Measurement]:
        bench = FakeBench()

        def tell(done: int, total: int, note: str) -> None:
            if len(bench.visited) >= self.left:
                raise KeyboardInterrupt

        try:
            return self.survey(queries).run(bench, tell)
        finally:
            self.visited.update(q.id for q in bench.visited)
            self.left -= len(bench.visited)

    @property
    def means(self) -> Means:
        return Means(measure=self.measure, is_measured=lambda q: self.survey(q).is_complete)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.fixture
def noisy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each network is off by up to 5 % in a way of its own, which no predictor can learn."""
    exact: Callable[[Query], float] = FakeBench.truth_s

    def truth_s(query: Query) -> float:
        return exact(query) * (0.95 + 0.1 * int(query.id, 16) / 16**16)

    monkeypatch.setattr(FakeBench, "truth_s", staticmethod(truth_s))


def test_a_law_that_is_learned_ends_with_the_first_of_the_plan(place: Place) -> None:
    found = profile_until(SPACE, PAIRS, Aim(error=0.01, most=60), place.means)
    assert found.stopped == "reached"
    assert found.error <= 0.01
    assert len(found.networks) == 20
    assert {m.job.query.target for m in found.measurements} == {t for t, _ in PAIRS}
    assert len(found.measurements) == 40


@pytest.mark.usefixtures("noisy")
def test_noise_that_is_not_learned_ends_with_the_most(place: Place) -> None:
    found = profile_until(SPACE, PAIRS, Aim(error=0.001, most=35), place.means)
    assert found.stopped == "most"
    assert found.error > 0.001
    assert len({a.cost_id for a in found.networks}) == 35
    # Every pair measured every network, each visit once.
    assert set(place.visited) == {q.id for q in queries_of(found.networks, PAIRS)}
    assert set(place.visited.values()) == {VISITS}


@pytest.mark.usefixtures("noisy")
def test_an_error_above_the_noise_is_reached_on_the_way(place: Place) -> None:
    first = profile_until(SPACE, PAIRS, Aim(error=0.001, most=20), place.means)
    aim = Aim(error=0.98 * first.error, most=120)
    found = profile_until(SPACE, PAIRS, aim, place.means)
    assert found.stopped == "reached"
    assert 20 < len(found.networks) < 120


@pytest.mark.usefixtures("noisy")
def test_a_small_space_is_exhausted(place: Place) -> None:
    small = ELASTIC["no_widths"]
    few = dataclasses.replace(small.choices, depths=(2, 3), heads=(4,), embedding_widths=(32,))
    space = ElasticSpace(source=small.source, choices=few)
    found = profile_until(space, PAIRS[:1], Aim(error=0.001, most=50), place.means)
    assert found.stopped == "exhausted"
    assert len(found.networks) == space.size


@pytest.mark.usefixtures("noisy")
@pytest.mark.parametrize("after", [30, 60])  # within the plan, within the batch after it
def test_an_interrupted_run_goes_on_where_it_was(place: Place, tmp_path: Path, after: int) -> None:
    aim = Aim(error=0.001, first=12, batch=6, most=24)
    place.left = after
    with pytest.raises(KeyboardInterrupt):
        profile_until(SPACE, PAIRS[:1], aim, place.means)
    assert place.visited.total() == after
    place.left = 10**9
    found = profile_until(SPACE, PAIRS[:1], aim, place.means)
    assert set(place.visited.values()) == {VISITS}
    (tmp_path / "other").mkdir()
    undisturbed = profile_until(SPACE, PAIRS[:1], aim, Place(tmp_path / "other").means)
    assert found.networks == undisturbed.networks


@pytest.mark.usefixtures("noisy")
def test_what_a_longer_plan_measured_counts(place: Place) -> None:
    planned = plan(SPACE, 40, np.random.default_rng(0))
    place.measure(queries_of(planned, PAIRS))
    found = profile_until(SPACE, PAIRS, Aim(error=0.001, most=50), place.means)
    assert found.networks[:40] == planned
    assert len(place.visited) == 2 * 50


@pytest.mark.usefixtures("noisy")
def test_a_target_that_cannot_be_learned_has_not_reached_anything(place: Place) -> None:
    def unstable(queries: Sequence[Query]) -> list[Measurement]:
        rows = place.measure(queries)
        return [
            dataclasses.replace(m, status="unstable") if m.job.query.target == PAIRS[1][0] else m
            for m in rows
        ]

    found = profile_until(SPACE, PAIRS, Aim(error=0.9, most=22), Means(measure=unstable))
    assert found.stopped == "most"
    assert found.error == float("inf")


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({"error": 0.0}, "above 0%"),
        ({"error": 1.0}, "below 100%"),
        ({"most": 7}, "most=7"),
        ({"first": 7}, "first=7"),
        ({"batch": 0}, "batch=0"),
    ],
)
def test_aims_that_make_no_sense(changes: dict[str, float], wanted: str) -> None:
    with pytest.raises(InputError, match=wanted):
        Aim(**({"error": 0.03, "most": 40} | changes))  # type: ignore[arg-type]
