"""``pretrain`` in several processes, as torchrun starts them."""

from __future__ import annotations

import csv
import errno
import fcntl
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from fleetfit.files import sha256_of
from supernet.pretrain_state import held
from tests.search.cli_fakes import contents, fleetfit, refused

WORDS = ("--tokens", "800", "--head-tokens", "200", "--batch-tokens", "200", "--seq-lens", "16")


def pretrain(supernet: Path, out: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "search.cli", "pretrain", str(supernet), str(out), *words]
    return subprocess.run(command, text=True, capture_output=True, timeout=120, check=False)


def test_two_processes_give_the_losses_of_one(
    supernet: Path, corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ("--text", str(corpus), *WORDS)
    fleetfit(capsys, "pretrain", supernet, tmp_path / "one", *given)
    done = pretrain(supernet, tmp_path / "two", *given, "--processes", "2", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["steps"] == 5
    ours, theirs = values(tmp_path / "two"), values(tmp_path / "one")
    assert ours.keys() == theirs.keys()
    for key, value in theirs.items():
        assert ours[key] == pytest.approx(value, rel=0.05)  # bf16, in other parts


def values(run: Path) -> dict[tuple[str, str], float]:
    with (run / "loss.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["quantity"] == "loss"]
    return {(row["step"], row["name"]): float(row["value"]) for row in rows}


def test_bad_input_in_all_processes_is_one_code(
    supernet: Path, corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both find the state of a run with other settings; neither is blamed for being stopped."""
    run, given = tmp_path / "run", ("--text", str(corpus), *WORDS)
    fleetfit(capsys, "pretrain", supernet, run, *given)
    shutil.rmtree(run / "supernet")
    before = contents(run)
    done = pretrain(supernet, run, *given, "--seed", "5", "--processes", "2")
    assert done.returncode == 2
    assert "must come from the same settings" in done.stderr
    assert "ended with exit code 2, and all were stopped" in done.stderr
    assert "Traceback" not in done.stderr
    assert contents(run) == before


def test_another_number_than_torchruns_is_refused(
    supernet: Path,
    corpus: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "a")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    given = ("--text", corpus, *WORDS, "--processes", 3)
    said = refused(capsys, 2, "pretrain", supernet, tmp_path / "run", *given)
    assert "must be left out under torchrun, which started 2" in said


def test_a_finished_run_is_left_as_it_is(
    supernet: Path, corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ("pretrain", supernet, tmp_path / "run", "--text", corpus, *WORDS)
    fleetfit(capsys, *given)
    kept = sha256_of(tmp_path / "run" / "supernet" / "supernet.safetensors")
    assert "must be unfinished to go on" in refused(capsys, 2, *given)
    assert sha256_of(tmp_path / "run" / "supernet" / "supernet.safetensors") == kept


def test_a_second_command_in_the_same_directory_is_refused(
    supernet: Path, corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ("pretrain", supernet, tmp_path / "run", "--text", corpus, *WORDS)
    (tmp_path / "run").mkdir()
    with held(tmp_path / "run"):
        assert "Only one command at a time may train" in refused(capsys, 4, *given)
    fleetfit(capsys, *given)


def test_a_file_system_without_locks_may_be_trained_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def flock(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", flock)
    with held(tmp_path), held(tmp_path):
        pass
