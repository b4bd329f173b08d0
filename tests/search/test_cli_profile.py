"""What profile measures, until when, and what it tells of that."""

from __future__ import annotations

from pathlib import Path

import pytest

from fleetfit import Query
from profiler import Store
from profiler.fake import FakeBench
from search.cli import main
from tests.search.cli_fakes import SHAPE, TARGET, fleetfit, measure_by_fake, refused
from tests.search.test_cli_records import recorded


@pytest.fixture
def words(supernet: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    measure_by_fake(monkeypatch)
    place = ["--store", str(tmp_path / "s.db"), "--memory-every", "0"]
    return ["profile", str(supernet), *place, *TARGET, *SHAPE]


@pytest.fixture
def noisy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each network is off by up to 5 % in a way of its own."""
    exact = FakeBench.truth_s

    def truth_s(query: Query) -> float:
        return exact(query) * (0.95 + 0.1 * int(query.id, 16) / 16**16)

    monkeypatch.setattr(FakeBench, "truth_s", staticmethod(truth_s))


def measured(store: Path) -> int:
    with Store(str(store)) as kept:
        return len(kept.measurements(protocol="survey"))


def test_until_an_error_is_reached(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    done = fleetfit(capsys, *words, "--until", "3%")
    assert done["stopped"] == "reached"
    assert done["until"] == 0.03
    assert done["error"] <= 0.03
    assert done["networks"] == done["measurements"] == measured(tmp_path / "s.db") == 20
    (curve,) = done["curves"]
    assert curve["networks"][-1] == 20
    assert curve["errors"][-1] == done["error"]


@pytest.mark.usefixtures("noisy")
def test_until_the_most_networks_and_what_more_would_buy(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    until = ("--until", "0.1%", "--networks", "24")
    assert main([*words, *until]) == 0
    said = " ".join(capsys.readouterr().err.split())
    assert "0.1% was not reached with the 24 networks allowed." in said
    assert "now with 24 networks; 24 more would" in said
    assert measured(tmp_path / "s.db") == 24
    again = fleetfit(capsys, *words, *until)
    assert (again["stopped"], again["networks"]) == ("most", 24)
    assert measured(tmp_path / "s.db") == 24


def test_more_networks_go_on_from_fewer(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fleetfit(capsys, *words, "--networks", 9)
    assert fleetfit(capsys, *words, "--networks", 14)["measurements"] == 14
    assert measured(tmp_path / "s.db") == 14


@pytest.mark.usefixtures("noisy")
def test_one_bar_over_all_batches(
    words: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    told = recorded(monkeypatch, "search.cli.profile.progress")
    fleetfit(capsys, *words, "--until", "0.1%", "--networks", 40)
    bar = [(done, total) for done, total, note in told if "of at most 40 networks" in note]
    assert {total for _, total in bar} == {40 * 4}
    assert bar == sorted(bar)
    assert bar[-1][0] == 40 * 4


@pytest.mark.parametrize(
    ("until", "wanted"),
    [
        (("--until", "3"), "--until must be a percentage, as in 3%, but got '3'"),
        (("--until", "0%"), "above 0% and below 100%, but got 0.0%"),
        (("--until", "3%", "--networks", "7"), "At least 8 networks"),
    ],
)
def test_errors_that_cannot_be_reached_for(
    words: list[str], capsys: pytest.CaptureFixture[str], until: tuple[str, ...], wanted: str
) -> None:
    assert wanted in refused(capsys, 2, *words, *until)


def test_learn_says_that_ten_networks_are_too_few_to_tell(
    learned: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["learn", str(tmp_path / "costs"), "--store", str(learned[0])]) == 0
    said = " ".join(capsys.readouterr().err.split())
    assert "onnxruntime-fp32-1t:" in said
    assert "now with 10 networks; too few networks to tell what more would buy" in said
    assert "hardly change it" not in said
