"""The verb evaluate: what is in the store is not evaluated, and nothing else is taken from it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fleetfit import dumps
from fleetfit.files import sha256_of
from search.cli import main
from supernet.masked_lm import MaskedLm
from supernet.quality import HiddenLoss
from supernet.spaces import read_config
from tests.search.cli_fakes import contents, fleetfit, refused
from tests.supernet.tiny import edit_json

SHORT = ("--windows", 6, "--seq-len", 16)
LOSSES = ("hidden_loss", "masked_lm_loss", "masked_lm_accuracy")


class Verb:
    """``evaluate`` on a short text with a store of its own; counts what was evaluated."""

    def __init__(self, capsys: pytest.CaptureFixture[str], patch: pytest.MonkeyPatch) -> None:
        self._capsys = capsys
        self.evaluated = 0
        original = MaskedLm.__call__

        def counted(*args: Any) -> dict[str, float]:
            self.evaluated += 1
            return original(*args)

        patch.setattr(MaskedLm, "__call__", counted)

    def __call__(self, *words: object) -> dict[str, Any]:
        self.evaluated = 0
        return fleetfit(self._capsys, "evaluate", *words, *SHORT)


@pytest.fixture
def verb(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Verb:
    return Verb(capsys, monkeypatch)


def test_a_second_run_evaluates_nothing_and_says_the_same(
    supernet: Path, corpus: Path, tmp_path: Path, verb: Verb, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = (supernet, "--text", corpus, "--store", tmp_path / "s.db")
    first = verb(*words)
    assert first["cached"] == 0
    assert verb.evaluated == len(first["members"])
    assert first["units"] == dict(zip(LOSSES, ("of variance", "nats", "share"), strict=True))
    for member in first["members"].values():
        assert set(member) == {"name", "architecture", *LOSSES}

    def run(*args: object) -> None:
        raise AssertionError("evaluated again")

    monkeypatch.setattr(HiddenLoss, "__init__", run)
    monkeypatch.setattr(MaskedLm, "__call__", run)
    again = verb(*words, "--batch-size", 2)
    assert again == first | {"cached": 7}


def test_what_the_figures_depend_on_misses(
    supernet: Path, corpus: Path, tmp_path: Path, verb: Verb
) -> None:
    store = ("--store", tmp_path / "s.db", "--architecture", "smallest")
    text = ("--text", corpus)
    base = verb(supernet, *text, *store)["members"]["smallest"]
    other_text, trained = tmp_path / "other.txt", tmp_path / "trained" / "supernet"
    other_text.write_text("\n".join(reversed(corpus.read_text().splitlines())))
    training = ["pretrain", supernet, trained.parent, *text, "--tokens", 400, "--head-tokens", 0]
    assert main([*map(str, training), "--batch-tokens", "200", "--seq-lens", "16"]) == 0

    changed = {
        "text": (supernet, "--text", other_text),
        "precision": (supernet, *text, "--precision", "bf16"),
        "checkpoint": (trained, *text),
    }
    for words in changed.values():
        found = verb(*words, *store)
        assert verb.evaluated == 1
        assert all(found["members"]["smallest"][name] != base[name] for name in LOSSES[:2])
        assert verb(*words, *store) == found | {"cached": 1}
        assert verb.evaluated == 0

    taught = verb(trained, *text, *store, "--teacher", supernet)
    assert taught["cached"] == 0
    alone = verb(trained, *text, *store)["members"]["smallest"]
    ours = taught["members"]["smallest"]
    assert ours["hidden_loss"] != alone["hidden_loss"]
    assert ours["masked_lm_loss"] == alone["masked_lm_loss"]  # knows no teacher
    assert verb(supernet, *text, *store)["members"]["smallest"] == base


def test_another_length_or_count_of_windows_misses(
    supernet: Path, corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("evaluate", supernet, "--text", corpus, "--store", tmp_path / "s.db")
    for shape in ((6, 16), (6, 12), (5, 16)):
        sizes = ("--windows", shape[0], "--seq-len", shape[1])
        found = fleetfit(capsys, *words, "--architecture", "smallest", *sizes)
        assert (found["windows"], found["seq_len"], found["cached"]) == (*shape, 0)


def test_without_a_cache_no_store_is_touched(
    supernet: Path,
    corpus: Path,
    tmp_path: Path,
    verb: Verb,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    words = (supernet, "--text", corpus, "--architecture", "smallest")
    found = [verb(*words, "--no-cache") for _ in range(2)]
    assert found[0] == found[1]
    assert verb.evaluated == 1
    assert contents(tmp_path) == {}
    assert verb(*words) == found[0]
    assert (tmp_path / "fleetfit.db").is_file()


def test_a_file_of_many_is_evaluated_once_each_and_shown_best_first(
    supernet: Path, corpus: Path, tmp_path: Path, verb: Verb, capsys: pytest.CaptureFixture[str]
) -> None:
    space = read_config(supernet).space
    rng = np.random.default_rng(0)
    archs = list({a.id: a for a in (space.sample(rng) for _ in range(99))}.values())[:22]
    path = tmp_path / "many.jsonl"
    path.write_text("\n".join(map(dumps, [*archs, *archs[:5]])))
    words = (supernet, "--text", corpus, "--store", tmp_path / "s.db", "--architecture", path)
    found = verb(*words, "--architecture", path)
    assert verb.evaluated == len(found["members"]) == 22
    assert {m["name"] for m in found["members"].values()} == {a.summary() for a in archs}
    assert main(["evaluate", *map(str, (*words, *SHORT))]) == 0
    shown = capsys.readouterr().err
    assert "hidden loss (of variance)" in shown
    assert "best hidden loss first" in shown
    assert "22 of 22 networks came from the cache" in shown
    ordered = sorted(found["members"].values(), key=lambda m: m["hidden_loss"])
    places = [shown.index(f" {m['name']} ") for m in ordered]
    assert places == sorted(places)


def test_the_winner_of_a_search_has_no_name(
    supernet: Path, corpus: Path, tmp_path: Path, verb: Verb, capsys: pytest.CaptureFixture[str]
) -> None:
    arch = read_config(supernet).space.sample(np.random.default_rng(3))
    winner = tmp_path / "winner.json"
    winner.write_text(dumps(arch) + "\n")
    words = (supernet, "--text", corpus, "--store", tmp_path / "s.db", "--architecture", winner)
    found = verb(*words, "--architecture", "largest")
    assert list(found["members"]) == [arch.summary(), "largest"]
    assert main(["evaluate", *map(str, (*words, *SHORT))]) == 0
    assert " name " not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (("--precision", "int4"), "int8 or int8_dynamic, but got 'int4'"),
        (("--architecture", "huge"), "must be one of largest, half-ffn"),
    ],
)
def test_what_is_not_known_is_refused(
    supernet: Path,
    corpus: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    words: tuple[str, ...],
    wanted: str,
) -> None:
    store = tmp_path / "s.db"
    said = refused(capsys, 2, "evaluate", supernet, "--text", corpus, "--store", store, *words)
    assert wanted in said
    assert not store.exists()


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (("--seq-len", 16), "--seq-len must come with --text, which was not given; add it"),
        (("--windows", 4), "--windows must come with --text"),
        (("--wikitext",), "--wikitext must come with --text"),
        (("--teacher", "t"), "--teacher must come with --text"),
        (("--text", "t", "--label-column", "y"), "--label-column must come with --test"),
        (("--text", "t", "--task", "cola"), "--task must come with --test"),
        (("--text", "t", "--name", "n"), "--name must come with --write"),
        (("--test", "t", "--task", "cola", "--text-column", "x"), "--task knows its columns"),
    ],
    ids=str,
)
def test_an_option_in_vain_is_refused(
    supernet: Path, capsys: pytest.CaptureFixture[str], words: tuple[object, ...], wanted: str
) -> None:
    assert wanted in refused(capsys, 2, "evaluate", supernet, *words)


@pytest.mark.parametrize("how", ["teacher", "bf16"])
def test_losses_are_written_with_what_they_are_of(
    supernet: Path, corpus: Path, tmp_path: Path, verb: Verb, how: str
) -> None:
    mine = tmp_path / "supernet"
    shutil.copytree(supernet, mine)
    edit_json(mine / "config.json", provenance={})
    teacher = sha256_of(supernet / "supernet.safetensors")[:16]
    words, said = {
        "teacher": (("--teacher", supernet), f" against supernet ({teacher})"),
        "bf16": (("--precision", "bf16"), ", bf16"),
    }[how]
    verb(mine, "--text", corpus, "--store", tmp_path / "s.db", "--write", *words)
    (key,) = read_config(mine).provenance
    assert key == f"corpus.txt, 6 windows of 16 tokens{said}: hidden-state loss, masked-LM loss"
