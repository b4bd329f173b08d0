"""The verb store, and what verbs do about a store that is not there."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from fleetfit import DeviceInfo, Job, Measurement, Query, Target, Workload
from profiler import Store, contents_of
from search.cli import main
from tests.conftest import build_tiny_source
from tests.search.cli_fakes import contents, fleetfit, refused

DEVICE = DeviceInfo(
    name="box", cpu_model="c", cpu_flags=(), cores=2, memory_bytes=2**30, machine="x86_64",
    system="Linux",
)  # fmt: skip


def measured(seed: int, latency_s: float, **changes: object) -> Measurement:
    target = Target(runtime="onnxruntime")
    query = Query(architecture=build_tiny_source(), target=target, workload=Workload())
    made = Measurement(
        job=Job(query=query, protocol="survey", protocol_version=2, seed=seed),
        device=DEVICE,
        samples_s=((latency_s,),),
        memory_bytes=None,
        memory_above_imports_bytes=None,
        file_bytes=1,
        load_s=0.1,
        versions={"onnxruntime": "1.31.1"},
    )
    return dataclasses.replace(made, **changes)  # type: ignore[arg-type]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Two measurements, one of them repeated, one of another version; a quality, a reading."""
    with Store(str(tmp_path / "one.db")) as store:
        store.put(measured(0, 0.01, measured_at="2026-11-02T00:00:00+00:00"))
        store.put(measured(1, 0.02, status="noisy", flags=("disturbed",)))
        store.put_repeat(measured(0, 0.03, measured_at="2026-11-01T00:00:00+00:00"))
        store.put(measured(0, 0.04, versions={"onnxruntime": "1.32.0"}))
        store.put_quality("k", "x", "fp32", 1.0)
        store.add_reference("box", "t", {}, 0.001)
    return tmp_path / "one.db"


def test_show_has_a_line_for_each_version(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shown = fleetfit(capsys, "store", "show", "--store", path)
    first, second = shown["measurements"]
    assert first == {
        "device": "box", "device_class": DEVICE.device_class, "target": "onnxruntime-fp32-1t",
        "protocol": "survey", "protocol_version": 2, "versions": {"onnxruntime": "1.31.1"},
        "rows": 2, "repeats": 1, "flagged": 1, "first": "2026-11-01T00:00:00+00:00",
        "last": "2026-11-02T00:00:00+00:00",
    }  # fmt: skip
    assert second["versions"] == {"onnxruntime": "1.32.0"}
    assert (second["rows"], second["repeats"], second["flagged"]) == (1, 0, 0)
    counts = {"store": str(path), "visits": 0, "qualities": 1, "references": 1}
    assert {name: shown[name] for name in counts} == counts
    assert main(["store", "show", "--store", str(path)]) == 0
    text = capsys.readouterr().err
    assert "survey 2" in text
    assert "onnxruntime 1.32.0" in text


def test_what_is_exported_is_imported_once(
    path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, other = tmp_path / "out.parquet", tmp_path / "two.db"
    told = fleetfit(capsys, "store", "export", out, "--store", path)
    wanted = {"measurements": 4, "visits": 0, "qualities": 1, "references": 1}
    assert told == {"file": str(out)} | wanted
    told = fleetfit(capsys, "store", "import", out, "--store", other)
    assert told == {"store": str(other), "repeats": 1, "completed": 0, "known": 0} | wanted | {
        "measurements": 3
    }
    with Store(str(path)) as one, Store(str(other)) as two:
        assert contents_of(one) == contents_of(two)
    told = fleetfit(capsys, "store", "import", out, "--store", other)
    assert told["known"] == 4
    assert {told[name] for name in told if name not in ("store", "known")} == {0}


def test_an_export_replaces_no_file(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = contents(path.parent)
    assert "must be a new file" in refused(capsys, 2, "store", "export", path, "--store", path)
    assert contents(path.parent) == before


def test_merge_keeps_both(path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = tmp_path / "two.db"
    with Store(str(other)) as store:
        store.put(measured(0, 0.5))
    told = fleetfit(capsys, "store", "merge", path, "--store", other)
    assert (told["measurements"], told["repeats"], told["known"]) == (2, 2, 0)
    with Store(str(other)) as store:
        assert store.get(measured(0, 1).job, "box", {"onnxruntime": "1.31.1"}) == measured(0, 0.5)
    assert fleetfit(capsys, "store", "merge", path, "--store", other)["known"] == 4


def test_a_broken_file_makes_no_store(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "in.parquet").write_text("no Parquet")
    words = ("store", "import", tmp_path / "in.parquet", "--store", tmp_path / "new.db")
    assert "must be a Parquet file" in refused(capsys, 2, *words)
    assert not (tmp_path / "new.db").exists()


@pytest.mark.parametrize(
    "words",
    [("store", "show"), ("store", "export", "out.parquet"), ("learn", "costs")],
)
def test_verbs_that_read_make_no_store(
    words: tuple[str, ...],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    said = refused(capsys, 2, *words, "--store", "typo.db")
    assert "store typo.db must exist" in said
    assert list(tmp_path.iterdir()) == []
    assert "store nowhere.db must exist" in refused(capsys, 2, "store", "merge", "nowhere.db")
    assert list(tmp_path.iterdir()) == []


def test_a_group_without_a_verb_points_at_its_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert "see fleetfit store --help" in refused(capsys, 2, "store")
    assert main(["store", "--help"]) == 0
    text = capsys.readouterr().out
    assert [
        name for name in ("show", "export", "import", "merge") if f"│ {name} " not in text
    ] == []
