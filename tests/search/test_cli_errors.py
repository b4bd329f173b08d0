"""Bad input: one sentence, the right exit code, and earlier results as they were.

Long because it is one list: everything that a user can get wrong at the command line.
"""

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

from search.cli import main
from tests.search.cli_fakes import SHAPE, TARGET, Fitted, contents, refused


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


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (("--space", "huge"), "must be one of elastic, supershaper, autotinybert"),
        (("--space", "supershaper", "--depths", "1"), "must have no --depths"),
    ],
)
def test_a_space_is_known_and_has_the_dimensions_given(
    bert: Path,
    corpus: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    options: tuple[str, ...],
    complaint: str,
) -> None:
    said = refused(capsys, 2, "convert", bert, tmp_path / "out", "--text", corpus, *options)
    assert complaint in said
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
    assert "latency_p50<=0.000095ms, 5% in reserve, is asked" in said
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


def test_a_full_disk_leaves_no_search(
    fitted: Fitted, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    said = refused(capsys, 4, *fitted.search("--budget", "latency_p50<=80%"))
    assert "No space left on device" in said
    assert contents(fitted.out) == {}


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
    for words in (("profile", supernet, *SHAPE), ("learn", tmp_path / "costs")):
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
    monkeypatch.setitem(sys.modules, "openvino", None)
    words = ("--store", tmp_path / "s.db", "--target", "openvino-fp32")
    assert "pip install 'fleetfit[openvino]'" in refused(capsys, 4, "profile", supernet, *words)


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
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    verb: str,
) -> None:
    monkeypatch.chdir(tmp_path)  # where the default store would be
    more = {"verify": (), "run": ("text",), "export": (tmp_path / "out", *TARGET)}[verb]
    assert "must" in refused(capsys, 2, verb, tmp_path / "none", *more)


@pytest.mark.parametrize(
    ("words", "option", "values"),
    [
        (("pretrain", "net", "run", "--text", "t"), "--seed", (-1, 2**32)),
        (("pretrain", "net", "run", "--text", "t"), "--tokens", (0,)),
        (("pretrain", "net", "run", "--text", "t"), "--head-tokens", (-1,)),
        (("pretrain", "net", "run", "--text", "t"), "--random-members", (-1,)),
        (("pretrain", "net", "run", "--text", "t"), "--batch-tokens", (2,)),
        (("pretrain", "net", "run", "--text", "t"), "--text-tokens", (0,)),
        (("finetune", "net", "out", "--train", "t"), "--seed", (-1, 2**32)),
        (("finetune", "net", "out", "--train", "t"), "--epochs", (0,)),
        (("finetune", "net", "out", "--train", "t"), "--batch-size", (0,)),
        (("finetune", "net", "out", "--train", "t"), "--max-length", (2,)),
        (("evaluate", "net", "--text", "t"), "--windows", (0,)),
        (("evaluate", "net", "--text", "t"), "--seq-len", (2,)),
        (("profile", "net"), "--networks", (0,)),
        (("profile", "net"), "--memory-every", (-1,)),
        (("profile", "net"), "--threads", (0,)),
        (("profile", "net"), "--labels", (-1,)),
        (("profile", "net"), "--seed", (-1, 2**32)),
    ],
    ids=str,
)
def test_numbers_out_of_range_are_refused_by_name(
    capsys: pytest.CaptureFixture[str],
    words: tuple[str, ...],
    option: str,
    values: tuple[int, ...],
) -> None:
    for value in values:
        said = refused(capsys, 2, *words, option, value)
        assert f"'{option}'" in said
        assert "than or equal to" in said


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (("--batch-tokens", 15, "--seq-lens", "16,8"), "fit into the tokens of a step"),
        (("--seq-lens", "16,2"), "at least 3 tokens"),
        (("--seq-lens", "64"), "at most the model's 40 positions"),
        (("--seq-lens", "16", "--learning-rate", "nan"), "must hold, and finite"),
        (("--seq-lens", "16", "--masked-lm-weight", "-1"), "Loss weights must be >= 0"),
    ],
)
def test_training_settings_that_cannot_be_are_refused(
    supernet: Path,
    corpus: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    words: tuple[object, ...],
    wanted: str,
) -> None:
    said = refused(capsys, 2, "pretrain", supernet, tmp_path / "run", "--text", corpus, *words)
    assert wanted in said
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("seq_len", "wanted"),
    [
        (16, "at least one window of 16 tokens"),
        (4, ""),
        (3, "none was masked"),
        (64, "at least one"),
    ],
)
def test_a_text_must_hold_a_window(
    supernet: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], seq_len: int, wanted: str
) -> None:
    text = tmp_path / "short.txt"
    text.write_text("the cat sat\n")
    words = ["evaluate", supernet, "--text", text, "--seq-len", seq_len, "--no-cache"]
    if wanted:
        assert wanted in refused(capsys, 2, *words)
    else:
        assert main([str(w) for w in words]) == 0


def test_a_length_beyond_the_positions_is_refused(
    supernet: Path, corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    length = ("--seq-len", 41)
    said = refused(capsys, 2, "evaluate", supernet, "--text", corpus, *length)
    assert "at most the model's 40 positions" in said
    said = refused(capsys, 2, "profile", supernet, "--store", tmp_path / "s.db", *length)
    assert "--seq-len must be at most 40" in said
    assert not (tmp_path / "s.db").exists()


PLACES = {
    "convert": "must be a new or empty directory",
    "finetune": "must be a new or empty directory",
    "pretrain": "must be unfinished to go on",
}


@pytest.mark.parametrize("verb", PLACES)
def test_a_place_that_is_taken_is_noticed_before_anything_is_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], verb: str
) -> None:
    taken = tmp_path / "taken"
    (taken / "supernet").mkdir(parents=True)
    (taken / "supernet" / "mine").write_text("keep me")
    text = "--train" if verb == "finetune" else "--text"
    said = refused(capsys, 2, verb, tmp_path / "none", taken, text, tmp_path / "none")
    assert PLACES[verb] in said
    assert contents(taken) == {str(taken / "supernet" / "mine"): b"keep me"}


@pytest.mark.parametrize("verb", ["evaluate", "pretrain"])
def test_a_teacher_of_another_conversion_is_refused(
    supernet: Path, corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], verb: str
) -> None:
    from safetensors.numpy import load_file, save_file

    other = tmp_path / "other"
    shutil.copytree(supernet, other)
    weights = load_file(other / "supernet.safetensors")
    weights["stream_order"] = weights["stream_order"][::-1].copy()
    save_file(weights, other / "supernet.safetensors")
    words = [supernet, *([tmp_path / "run"] if verb == "pretrain" else []), "--text", corpus]
    said = refused(
        capsys, 2, verb, *words, "--seq-len" + "s" * (verb == "pretrain"), 16, "--teacher", other
    )
    assert "another conversion" in said


def test_a_run_goes_on_with_its_own_text_only(
    supernet: Path, corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, other = tmp_path / "run", tmp_path / "other.txt"
    other.write_text("\n".join(reversed(corpus.read_text().splitlines())))
    words = ["pretrain", str(supernet), str(run), "--tokens", "200", "--head-tokens", "0"]
    words += ["--batch-tokens", "100", "--seq-lens", "16"]
    assert main([*words, "--text", str(corpus)]) == 0
    shutil.rmtree(run / "supernet")
    before = contents(run)
    assert "must come from the same text" in refused(capsys, 2, *words, "--text", other)
    assert contents(run) == before
    assert main([*words, "--text", str(corpus)]) == 0


def test_a_tokenizer_larger_than_the_vocabulary_is_refused(
    bert: Path, corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other"
    shutil.copytree(bert, other)
    data = json.loads((other / "tokenizer.json").read_text())
    data["model"]["vocab"]["beyond"] = 200
    (other / "tokenizer.json").write_text(json.dumps(data))
    said = refused(capsys, 2, "convert", other, tmp_path / "out", "--text", corpus)
    assert "no more than the 200 entries" in said
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("recipe", "words", "wanted"),
    [
        ("tokns = 5", (), "got 'tokns'. Perhaps you meant 'tokens'?"),
        ("[losses]\nhiden = 1.0", (), "got 'hiden'. Perhaps you meant 'hidden'?"),
        ("[sampling]\nstrategy = 'sandwhich'", (), "sampling.strategy must be one of"),
        ("[losses]\nin_place = 1.0", ("--hidden-weight", 0), "Loss weights must be >= 0"),
        ("fitted_teacher = true", (), "A fitted teacher must be given"),
        ("tokens =", (), "must be TOML"),
    ],
)
def test_a_recipe_must_hold_what_can_be(
    supernet: Path,
    corpus: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    recipe: str,
    words: tuple[object, ...],
    wanted: str,
) -> None:
    file = tmp_path / "recipe.toml"
    file.write_text(recipe)
    more = ("--text", corpus, "--seq-lens", "16", "--recipe", file, *words)
    assert wanted in refused(capsys, 2, "pretrain", supernet, tmp_path / "run", *more)
    assert not (tmp_path / "run").exists()


def test_a_fitted_teacher_must_have_the_same_vocabulary(
    supernet: Path, corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other, recipe = tmp_path / "other", tmp_path / "recipe.toml"
    shutil.copytree(supernet, other)
    text = (other / "tokenizer.json").read_text()
    (other / "tokenizer.json").write_text(text.replace('"[unused0]"', '"[unused_]"'))
    recipe.write_text("fitted_teacher = true")
    words = ("--text", corpus, "--seq-lens", "16", "--recipe", recipe, "--teacher", other)
    said = refused(capsys, 2, "pretrain", supernet, tmp_path / "run", *words)
    assert "must have the supernet's vocabulary" in said
    assert "[unused" in said
    assert not (tmp_path / "run").exists()


def test_what_is_no_supernet_is_named_for_what_it_is(
    supernet: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, model = tmp_path / "run", tmp_path / "model"
    run.mkdir()
    model.mkdir()
    (run / "supernet").symlink_to(supernet)
    (model / "model.json").write_text("{}")
    (tmp_path / "t.csv").write_text("text,label\na,x\nb,y\n")
    words = ("--train", tmp_path / "t.csv")
    said = refused(capsys, 2, "finetune", run, tmp_path / "out", *words)
    assert f"is a run of pretrain; give {run}/supernet" in said
    said = refused(capsys, 2, "finetune", model, tmp_path / "out", *words)
    assert "is one fine-tuned network" in said
    said = refused(capsys, 2, "finetune", supernet, tmp_path / "out", *words, "--teacher", supernet)
    assert "fine-tune its largest network alone" in said
    said = refused(capsys, 2, "finetune", supernet, tmp_path / "out", *words, "--max-length", 9999)
    assert "`max_length <= " in said
    said = refused(capsys, 2, "finetune", supernet, tmp_path / "out", *words, "--architecture", "x")
    assert "largest, smallest or a JSON file, but got 'x'" in said
