"""Bad input: one sentence, the right exit code, and earlier results as they were."""

from __future__ import annotations

import errno
import json
import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from exporters import RUNTIMES
from search.cli import main
from tests.search.cli_fakes import TARGET, Fitted, contents, refused


def test_a_checkpoint_of_another_type_is_named(
    bert: Path, corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other"
    shutil.copytree(bert, other)
    config = json.loads((other / "config.json").read_text())
    (other / "config.json").write_text(json.dumps(config | {"model_type": "roberta"}))
    said = refused(capsys, 2, "convert", other, tmp_path / "out", "--text", corpus)
    assert "must be 'bert'" in said
    assert "roberta" in said
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("choice", [("--heads", "5"), ("--depths", "3,2"), ("--ffns", "many")])
def test_a_space_must_fit_its_checkpoint(
    bert: Path,
    corpus: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    choice: tuple[str, str],
) -> None:
    said = refused(capsys, 2, "convert", bert, tmp_path / "out", "--text", corpus, *choice)
    assert "must" in said
    assert "heads" in said or choice[0].strip("-") in said
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("data", [b"", b"\n \n", b"\x89PNG\x00\x01", b"\xff\xfe\xfa"])
def test_a_corpus_must_hold_text(
    supernet: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], data: bytes
) -> None:
    before = contents(supernet)
    text = tmp_path / "text.txt"
    text.write_bytes(data)
    said = refused(capsys, 2, "pretrain", supernet, tmp_path / "run", "--text", text)
    assert "text" in said
    assert "must" in said
    assert contents(supernet) == before
    assert not (tmp_path / "run").exists()


def test_a_label_column_must_exist(
    supernet: Path, labelled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--train", labelled, "--label-column", "intent")
    said = refused(capsys, 2, "finetune", supernet, tmp_path / "tuned", *words)
    assert "'intent'" in said
    assert "text, label" in said
    assert not (tmp_path / "tuned").exists()


def test_a_budget_that_nothing_meets_names_the_nearest(
    fitted: Fitted, capsys: pytest.CaptureFixture[str]
) -> None:
    before = contents(fitted.costs)
    said = refused(capsys, 3, *fitted.search("--budget", "latency_p50<=0.1us"))
    assert "the nearest is 2L" in said
    assert "latency_p50<=0.0001ms" in said
    assert contents(fitted.costs) == before
    assert not fitted.out.exists()


@pytest.mark.parametrize(
    ("budget", "wanted"),
    [
        ("latency_p50<=8MiB", "us, ms, s"),
        ("speed<=8ms", "latency_p50"),
        ("latency_p50>=8ms", "upper limit"),
        ("fast", "must read like"),
    ],
)
def test_a_budget_has_a_known_metric_and_unit(
    fitted: Fitted, capsys: pytest.CaptureFixture[str], budget: str, wanted: str
) -> None:
    assert wanted in refused(capsys, 2, *fitted.search("--budget", budget))


def test_a_full_disk_leaves_the_earlier_search(
    fitted: Fitted, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(fitted.search("--budget", "latency_p50<=90%")) == 0
    before = contents(fitted.out)

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    said = refused(capsys, 4, *fitted.search("--budget", "latency_p50<=80%"))
    assert "No space left on device" in said
    assert contents(fitted.out) == before


def test_a_disk_that_fills_while_a_supernet_is_written(
    bert: Path, corpus: Path, tmp_path: Path
) -> None:
    words = ["convert", str(bert), str(tmp_path / "out"), "--text", str(corpus)]
    done = subprocess.run(
        [sys.executable, "-m", "search.cli", *words],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000)),
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 4, done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_corrupt_store_is_named_and_left_alone(
    supernet: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = tmp_path / "store.db"
    store.write_bytes(b"this is no database" * 100)
    before = store.read_bytes()
    for words in (("profile", supernet), ("learn", tmp_path / "costs")):
        assert str(store) in refused(capsys, 2, *words, "--store", store)
    assert store.read_bytes() == before
    assert not (tmp_path / "costs").exists()


@pytest.mark.parametrize(
    ("target", "wanted"), [("tvm-fp32", "onnxruntime, openvino"), ("openvino-fp7", "fp32")]
)
def test_a_target_must_be_known(
    supernet: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    target: str,
    wanted: str,
) -> None:
    words = ("--store", tmp_path / "s.db", "--target", target)
    assert wanted in refused(capsys, 2, "profile", supernet, *words)
    assert not (tmp_path / "s.db").exists()


def test_a_runtime_that_is_not_installed(
    supernet: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(type(RUNTIMES["openvino"]), "available", lambda self: False)
    words = ("--store", tmp_path / "s.db", "--target", "openvino-fp32")
    assert "pip install openvino" in refused(capsys, 4, "profile", supernet, *words)


def test_a_truncated_checkpoint(
    supernet: Path, corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cut = tmp_path / "cut"
    shutil.copytree(supernet, cut)
    weights = cut / "supernet.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    said = refused(capsys, 2, "evaluate", cut, "--text", corpus)
    assert "whole safetensors file" in said
    assert "again" in said


def test_a_directory_that_holds_something_is_kept(
    bert: Path, corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine").write_text("keep me")
    said = refused(capsys, 2, "convert", bert, tmp_path, "--text", corpus)
    assert "must be a new or empty directory" in said
    assert contents(tmp_path) == {str(tmp_path / "mine"): b"keep me"}


def test_predictors_must_be_learned_first(
    fitted: Fitted, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--predictors", str(tmp_path), "--budget", "params<=1M"]
    assert "learn first" in refused(capsys, 2, *fitted.search(*words))


@pytest.mark.parametrize("verb", ["verify", "run", "export"])
def test_a_directory_of_the_step_before_must_exist(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], verb: str
) -> None:
    more = {"verify": (), "run": ("text",), "export": (tmp_path / "out", *TARGET)}[verb]
    assert "must" in refused(capsys, 2, verb, tmp_path / "none", *more)


def test_no_networks_to_profile(
    supernet: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--store", tmp_path / "s.db", "--networks", 0)
    assert "must" in refused(capsys, 2, "profile", supernet, *words)
