"""The verb evaluate on a supernet that has learned a task."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from search.cli import main
from supernet.spaces import read_config
from supernet.task_measure import TaskScores
from tests.search.cli_fakes import fleetfit, refused


@pytest.fixture(scope="module")
def task_supernet(supernet: Path, labelled: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("task") / "supernet"
    words = ["finetune", supernet, path, "--supernet", "--train", labelled, "--test", labelled]
    assert main([*map(str, words), "--epochs", "1", "--max-length", "16"]) == 0
    return path


def test_members_are_scored_as_they_are_and_once(
    task_supernet: Path,
    labelled: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    words = ("evaluate", task_supernet, "--test", labelled, "--store", tmp_path / "s.db")
    found = fleetfit(capsys, *words, "--batch-size", 128)  # as finetune scores
    assert (found["units"], found["examples"]) == ({"accuracy": "share"}, 40)
    learned = read_config(task_supernet).task
    assert learned is not None
    assert {name: e["accuracy"] for name, e in found["members"].items()} == {
        one.name: (one.test or {})["accuracy"] for one in learned.scores
    }

    def run(*args: object) -> None:
        raise AssertionError("evaluated again")

    monkeypatch.setattr(TaskScores, "__call__", run)
    assert fleetfit(capsys, *words) == found | {"cached": 7}


def test_losses_and_metrics_may_stand_in_one_table(
    task_supernet: Path,
    labelled: Path,
    corpus: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = ["evaluate", task_supernet, "--test", labelled, "--text", corpus, "--windows", 4]
    words += ["--seq-len", 16, "--architecture", "largest", "--store", tmp_path / "s.db"]
    found = fleetfit(capsys, *words)
    figures = ["accuracy", "hidden_loss", "masked_lm_loss", "masked_lm_accuracy"]
    assert list(found["units"]) == figures
    assert set(found["members"]["largest"]) == {"name", "architecture", *figures}
    assert main([str(word) for word in words]) == 0
    shown = capsys.readouterr().err
    assert "40 examples of train.csv, 4 windows of 16 tokens, fp32" in shown
    assert "1 of 1 networks came from the cache" in shown


def test_what_a_supernet_has_not_learned_is_refused(
    supernet: Path,
    task_supernet: Path,
    labelled: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    store = ("--store", tmp_path / "s.db")
    said = refused(capsys, 2, "evaluate", supernet, "--test", labelled, *store)
    assert "a supernet that has learned a task, but this one has not" in said
    said = refused(capsys, 2, "evaluate", task_supernet, *store)
    assert "must have a --text, or the --test of a task" in said
    said = refused(capsys, 2, "evaluate", task_supernet, "--test", labelled, "--write", *store)
    assert "--write must come with --text" in said
    other = Path(shutil.copy(labelled, tmp_path / "other.csv"))
    other.write_text(other.read_text() + "the cat,tea\n")
    said = refused(capsys, 2, "evaluate", task_supernet, "--test", other, *store)
    assert "'tea'" in said
    assert not (tmp_path / "s.db").exists()
