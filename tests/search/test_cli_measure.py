"""What describe says; and learn, where something is missing, old or too little."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

import devices
from devices import Disturbance, describe
from exporters import RUNTIMES
from fleetfit import Measurement
from profiler import Store
from search.cli import main
from tests.search.cli_fakes import Fitted, fleetfit, measure_by_fake, refused


@pytest.fixture
def rows(learned: tuple[Path, Path]) -> list[Measurement]:
    with Store(str(learned[0])) as store:
        return store.measurements()


def kept(path: Path, rows: list[Measurement]) -> Path:
    """A store of them."""
    with Store(str(path)) as store:
        for row in rows:
            store.put(row)
    return path


def said(capsys: pytest.CaptureFixture[str], costs: Path, store: Path) -> list[str]:
    """What learn tells beside its table."""
    capsys.readouterr()
    assert main(["learn", str(costs), "--store", str(store)]) == 0
    lines = capsys.readouterr().err.splitlines()
    return [line for line in lines if "left out" in line.lower() or "not learned" in line]


def test_one_stray_measurement_is_one_line(
    rows: list[Measurement], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = dataclasses.replace(rows[0].job.query.target, threads=7)
    query = dataclasses.replace(rows[0].job.query, target=target)
    stray = dataclasses.replace(rows[0], job=dataclasses.replace(rows[0].job, query=query))
    store = kept(tmp_path / "s.db", [*rows, stray])
    (line,) = said(capsys, tmp_path / "costs", store)
    assert "At least 8 networks" in line
    assert "onnxruntime-fp32-7t" in line


def test_rows_of_an_earlier_protocol_are_counted_and_left_out(
    rows: list[Measurement], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old = [
        dataclasses.replace(m, job=dataclasses.replace(m.job, protocol_version=0)) for m in rows[:2]
    ]
    store = kept(tmp_path / "s.db", [*rows, *old])
    (line,) = said(capsys, tmp_path / "costs", store)
    assert line.startswith("2 measurements of other runtime or protocol versions")


def test_a_machine_without_a_runtime_is_described(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    bare = dataclasses.replace(describe(), versions={})
    monkeypatch.setattr("devices.describe", lambda: bare)
    for adapter in RUNTIMES.values():
        monkeypatch.setattr(type(adapter), "targets", lambda self, device, threads: ())
    assert fleetfit(capsys, "describe")["targets"] == []
    assert main(["describe"]) == 0
    shown = capsys.readouterr().err
    for name in ("versions", "targets"):
        (line,) = (line for line in shown.splitlines() if line.split()[:1] == [name])
        assert line.split() == [name, "none"]


FOUND = (
    Disturbance(what="swap", found="none in use", matters="ok"),
    Disturbance(
        what="other processes",
        found="use 1.50 cores: [a] (7) 1.50",
        matters="disturbs",
        advice="stop them",
    ),
)


def test_health_is_a_row_for_each_finding(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(devices, "disturbances", lambda: FOUND)
    told = fleetfit(capsys, "describe", "--health")
    assert told["device"] == describe().name
    assert told["health"][1] == {
        "what": "other processes",
        "found": "use 1.50 cores: [a] (7) 1.50",
        "matters": "disturbs",
        "advice": "stop them",
    }
    assert main(["describe", "--health"]) == 0
    shown = capsys.readouterr().err
    assert "[a] (7) 1.50" in shown
    assert "stop them" in shown


def test_health_of_this_machine(capsys: pytest.CaptureFixture[str]) -> None:
    told = fleetfit(capsys, "describe", "--health")
    assert {row["what"] for row in told["health"]} >= {"other processes", "steal", "battery"}


def test_repeat_measures_a_share_again_and_learn_shows_the_floor(
    fitted: Fitted,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    measure_by_fake(monkeypatch)
    again = ("profile", fitted.supernet, "--store", fitted.store, "--repeat", "20%")
    found = fleetfit(capsys, *again)
    assert found["measurements"] == 3  # a fifth of ten surveyed, and of one verified
    assert [f["pairs"] for f in found["noise_floors"]] == [2, 1]
    assert all(f["median"] == 0 for f in found["noise_floors"])
    learned = fleetfit(capsys, "learn", tmp_path / "costs", "--store", fitted.store)
    assert learned["noise_floors"] == found["noise_floors"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--repeat", "5%", "--until", "3%"), "--until must not come with --repeat"),
        (("--repeat", "5%", "--networks", "40"), "--networks must not come with --repeat"),
        (("--repeat", "5%", "--batch", "1"), "--batch must not come with --repeat"),
        (("--seq-len", "128", "--repeat", "5%"), "--seq-len must not come with --repeat"),
        (("--memory-every", "0", "--repeat", "5%"), "--memory-every must not come with --repeat"),
        (("--repeat", "5%", "--labels", "0"), "--labels must not come with --repeat"),
        (("--repeat", "5%", "--target", "onnxruntime-fp32"), "--target must not come with"),
        (("--repeat", "0%"), "share to repeat must be above 0"),
        (("--repeat", "many"), "--repeat"),
    ],
)
def test_a_repeat_that_cannot_be(
    fitted: Fitted, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], said: str
) -> None:
    sentence = refused(capsys, 2, "profile", fitted.supernet, "--store", fitted.store, *words)
    assert said in sentence
