"""One fine-tuning, N devices: a task supernet from ``finetune --supernet`` to bundles."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from exporters import load_bundle, read_weights
from fleetfit import dumps
from search.cli import main
from supernet import checkpoint
from supernet.spaces import read_config
from supernet.task_member import member_model
from tests.search.cli_fakes import (
    SHAPE,
    TARGET,
    Fitted,
    contents,
    fleetfit,
    measure_by_fake,
    refused,
)

ONE_TARGET = ("--seq-len", "16", "--target", "onnxruntime-fp32", "--threads", "1")


@pytest.fixture(scope="module")
def tuned(supernet: Path, labelled: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tuned") / "supernet"
    words = ["--train", labelled, "--test", labelled, "--epochs", 3, "--max-length", 16]
    assert main(list(map(str, ["finetune", supernet, path, "--supernet", *words]))) == 0
    return path


def test_named_members_are_scored_and_kept(
    supernet: Path,
    labelled: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    before, out = contents(supernet), tmp_path / "out"
    words = ("--train", labelled, "--test", labelled, "--max-length", 16, "--epochs", 1)
    more = ("--random-members", 0, "--licence", "CC0-1.0", "--seed", 3)
    found = fleetfit(capsys, "finetune", supernet, out, "--supernet", *words, *more)
    assert contents(supernet) == before
    assert found["supernet"] == str(out)
    assert found["epochs"] == 1
    config = read_config(out)
    assert config.task is not None
    assert (config.task.name, config.task.labels) == ("train.csv", ("card", "money"))
    assert config.task.head.pooling == config.pooling
    assert config.task.max_length == 16
    assert config.licences["task text"] == "CC0-1.0"
    assert config.provenance["supernet"] == checkpoint.load(supernet).sha256[:16]
    assert config.provenance["finetune_seed"] == "3"
    kept = {
        one.name: {
            "dev_accuracy": one.dev["accuracy"],
            "test_accuracy": (one.test or {})["accuracy"],
        }
        for one in config.task.scores
    }
    assert found["members"] == kept
    assert {"largest", "middle", "smallest"} <= kept.keys()


def test_two_bundles_come_from_one_fine_tuning(
    tuned: Path,
    fitted: Fitted,
    labelled: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert main(fitted.search("--budget", "latency_p50<=90%")) == 0
    measure_by_fake(monkeypatch)
    won = fleetfit(capsys, "verify", fitted.out, "--store", fitted.store)["network"]
    exporting = ("--store", fitted.store, "--test", labelled)
    verified = ("--verified", fitted.out / "verified.json")
    first = fleetfit(capsys, "export", tuned, tmp_path / "one", *verified, *exporting)
    smallest = ("--architecture", "smallest", *ONE_TARGET)
    second = fleetfit(capsys, "export", tuned, tmp_path / "two", *smallest, *exporting)

    loaded = checkpoint.load(tuned)
    bundles = {name: load_bundle(tmp_path / name) for name in ("one", "two")}
    bodies = {name: b.manifest.architecture.summary() for name, b in bundles.items()}
    assert bodies == {"one": won, "two": loaded.config.space.smallest().summary()}
    for name, made in (("one", first), ("two", second)):
        manifest = bundles[name].manifest
        assert manifest.labels == ("card", "money")
        assert manifest.provenance["task supernet"] == loaded.sha256[:16]
        _, weights = member_model(loaded, manifest.architecture)
        kept_weights = read_weights(tmp_path / name)
        assert kept_weights.keys() == weights.keys()
        assert all(np.array_equal(kept_weights[n], weights[n]) for n in weights)
        (answer,) = fleetfit(capsys, "run", tmp_path / name, "I need money")["answers"]
        assert set(answer) == {"card", "money"}
        assert sum(answer.values()) == pytest.approx(1)
        assert 0 <= made["test_accuracy"] <= 1
    record = loaded.config.task
    assert record is not None
    kept = record.scores_of(loaded.config.space.smallest())
    assert kept is not None
    assert kept.test is not None
    assert second["test_accuracy"] == pytest.approx(kept.test["accuracy"], abs=0.03)


def test_the_other_verbs_take_a_task_supernet(
    tuned: Path,
    fitted: Fitted,
    corpus: Path,
    labelled: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    words = ("--text", corpus, "--windows", 4, "--seq-len", 16, "--no-cache")
    losses = fleetfit(capsys, "evaluate", tuned, *words, "--write")["members"]
    assert losses["largest"]["hidden_loss"] == pytest.approx(0, abs=1e-6)
    assert read_config(tuned).task is not None
    measure_by_fake(monkeypatch)
    profiling = ("profile", tuned, "--store", tmp_path / "s.db", *TARGET, *SHAPE)
    assert fleetfit(capsys, *profiling, "--networks", 3, "--memory-every", 0)["measurements"] == 3
    searching = fitted.search("--budget", "latency_p50<=90%")
    searching[searching.index(str(fitted.supernet))] = str(tuned)
    assert "network" in fleetfit(capsys, *searching)
    alone = ("--train", labelled, "--epochs", 1, "--max-length", 16)
    one = fleetfit(capsys, "finetune", tuned, tmp_path / "one", *alone)
    assert one["model"] == str(tmp_path / "one")


def test_a_task_supernet_is_not_pretrained(
    tuned: Path, corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = refused(capsys, 2, "pretrain", tuned, tmp_path / "run", "--text", corpus)
    assert "without a task" in said
    assert "train.csv" in said
    assert not (tmp_path / "run").exists()


def test_a_member_must_be_chosen_once_and_from_a_supernet(
    tuned: Path,
    supernet: Path,
    labelled: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "bundle"
    exporting = ("export", tuned, out, *ONE_TARGET, "--store", tmp_path / "s.db")
    assert "give --verified or --architecture" in refused(capsys, 2, *exporting)
    alone = ("--train", labelled, "--epochs", 1, "--max-length", 16)
    fleetfit(capsys, "finetune", supernet, tmp_path / "one", *alone)
    one = ("export", tmp_path / "one", *exporting[2:], "--architecture", "largest")
    assert "is one network; leave it out" in refused(capsys, 2, *one)
    plain = ("export", supernet, *exporting[2:], "--architecture", "largest")
    assert "finetune --supernet" in refused(capsys, 2, *plain)
    odd = tmp_path / "odd.json"
    source = read_config(tuned).source
    odd.write_text(dumps(source).replace('"heads":4', '"heads":5'))
    other = refused(capsys, 2, *exporting, "--architecture", odd)
    assert "must be in the space" in other
    assert not out.exists()


def test_verified_and_architecture_are_not_given_both(
    tuned: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    both = ("--verified", tmp_path / "v.json", "--architecture", "largest")
    said = refused(capsys, 2, "export", tuned, tmp_path / "out", *both)
    assert "--verified or --architecture" in said


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (("--architecture", "smallest"), "--architecture must not be given"),
        (("--hard-weight", "0", "--soft-weight", "0"), "one above 0"),
        (("--learning-rate", "1e30"), "learning rate"),
        (("--teacher", "x", "--soft-weight", "1"), "must be left out with --teacher"),
        (("--teacher-weight", "2"), "--teacher-weight must come with --teacher"),
    ],
)
def test_a_whole_supernet_refuses_what_it_cannot_learn_from(
    supernet: Path,
    labelled: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    options: tuple[str, ...],
    complaint: str,
) -> None:
    code = 4 if options[0] == "--learning-rate" else 2
    words = ("--supernet", "--train", labelled, "--max-length", "16", *options)
    said = refused(capsys, code, "finetune", supernet, tmp_path / "out", *words)
    assert complaint in said
    assert not (tmp_path / "out").exists()


def test_a_network_fine_tuned_alone_teaches_a_supernet(
    supernet: Path, labelled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--train", labelled, "--epochs", 1, "--max-length", 16)
    licensed = (*words, "--licence", "CC0-1.0")
    fleetfit(capsys, "finetune", supernet, tmp_path / "teacher", *licensed)
    teaching = ("--teacher", tmp_path / "teacher", "--teacher-weight", 0.5)
    whole = (*words, "--supernet", *teaching)
    fleetfit(capsys, "finetune", supernet, tmp_path / "out", *whole)
    told = read_config(tmp_path / "out")
    assert told.provenance["teacher_weight"] == "0.5"
    assert told.licences["task text"] == "unknown AND CC0-1.0"
