"""Cached figures, against a measure whose figures are a known function."""

from __future__ import annotations

import math
from pathlib import Path
from typing import ClassVar

import pytest

from fleetfit import Architecture, InputError, Precision
from profiler import Store
from search import MemoryQualities, QualityStore
from search.evaluation import CachedMeasure, evaluate_members
from supernet.measure import Figure
from supernet.spaces import ElasticSpace


class Toy:
    """Depth and width; halves in bf16. Remembers what it was asked, and may break off."""

    figures: ClassVar[tuple[Figure, ...]] = (
        Figure(name="depth", title="depth", unit="layers"),
        Figure(name="width", title="width", unit=""),
    )

    def __init__(self, data_id: str = "d" * 16, *, at_most: float = math.inf) -> None:
        self.data_id = data_id
        self.asked: list[tuple[Architecture, Precision]] = []
        self._at_most = at_most

    def __call__(self, arch: Architecture, precision: Precision) -> dict[str, float]:
        if len(self.asked) >= self._at_most:
            raise KeyboardInterrupt
        self.asked.append((arch, precision))
        share = 1.0 if precision == "fp32" else 0.5
        return {"depth": len(arch.layers) * share, "width": arch.width * share}


def cached(measure: Toy, store: QualityStore, checkpoint: str = "c" * 64) -> CachedMeasure:
    return CachedMeasure(measure, store=store, checkpoint=checkpoint)


@pytest.fixture
def members(tiny_space: ElasticSpace) -> dict[str, Architecture]:
    return {"largest": tiny_space.largest(), "smallest": tiny_space.smallest()}


def test_a_hit_equals_a_miss(tmp_path: Path, members: dict[str, Architecture]) -> None:
    toy = Toy()
    for _ in range(2):
        with Store(str(tmp_path / "s.db")) as store:
            for precision in ("fp32", "bf16"):
                for arch in members.values():
                    assert cached(toy, store)(arch, precision) == Toy()(arch, precision)
    assert len(toy.asked) == 4


@pytest.mark.parametrize(
    "other",
    [(Toy("e" * 16), "c" * 64), (Toy(), "b" * 64)],
    ids=["data", "checkpoint"],
)
def test_other_data_or_weights_have_other_figures(
    other: tuple[Toy, str], members: dict[str, Architecture]
) -> None:
    store = MemoryQualities()
    cached(Toy(), store)(members["largest"], "fp32")
    measure, checkpoint = other
    assert cached(measure, store, checkpoint).known(members["largest"], "fp32") is None
    cached(measure, store, checkpoint)(members["largest"], "fp32")
    assert len(measure.asked) == 1


def test_an_interrupted_run_goes_on(members: dict[str, Architecture]) -> None:
    store, broken, after = MemoryQualities(), Toy(at_most=1), Toy()
    with pytest.raises(KeyboardInterrupt):
        evaluate_members([cached(broken, store)], members, "fp32")
    found = evaluate_members([cached(after, store)], members, "fp32")
    assert [s.cached for s in found] == [True, False]
    assert after.asked == [(members["smallest"], "fp32")]


def test_progress_counts_what_is_new(members: dict[str, Architecture]) -> None:
    store = MemoryQualities()
    cached(Toy(), store)(members["largest"], "fp32")
    told: list[tuple[int, int, str]] = []
    twice = members | {"tiny": members["smallest"]}
    toy = Toy()
    found = evaluate_members(
        [cached(toy, store)], twice, "fp32", progress=lambda *words: told.append(words)
    )
    assert told == [(0, 1, "smallest"), (1, 1, "")]
    assert [s.name for s in found] == ["largest", "smallest", "tiny"]
    assert found[1].figures == found[2].figures
    assert len(toy.asked) == 1


def test_figures_of_several_measures_stand_together(members: dict[str, Architecture]) -> None:
    class Other(Toy):
        figures: ClassVar[tuple[Figure, ...]] = (Figure(name="one", title="one", unit=""),)

        def __call__(self, arch: Architecture, precision: Precision) -> dict[str, float]:
            return {"one": 1.0}

    store = MemoryQualities()
    (found, _) = evaluate_members([cached(Toy(), store), cached(Other(), store)], members, "fp32")
    assert found.figures == {"depth": 3.0, "width": 32.0, "one": 1.0}


def test_a_part_of_the_figures_is_not_enough(members: dict[str, Architecture]) -> None:
    class Half(MemoryQualities):
        def put_quality(self, key: str, arch: str, precision: str, value: float) -> None:
            if not key.endswith("width"):
                super().put_quality(key, arch, precision, value)

    store = Half()
    for _ in range(2):
        assert cached(Toy(), store)(members["largest"], "fp32")["width"] == 32.0
    assert cached(Toy(), store).known(members["largest"], "fp32") is None


def test_a_figure_that_is_no_number_is_refused(members: dict[str, Architecture]) -> None:
    class Broken(Toy):
        def __call__(self, arch: Architecture, precision: Precision) -> dict[str, float]:
            return {"depth": 1.0, "width": math.nan}

    store = MemoryQualities()
    with pytest.raises(InputError, match="width is nan"):
        cached(Broken(), store)(members["largest"], "fp32")
    assert cached(Toy(), store).known(members["largest"], "fp32") is None
