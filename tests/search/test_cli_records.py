"""What the verbs about the supernet record of themselves, and what they tell on the way."""

from __future__ import annotations

import contextlib
import shutil
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fleetfit.files import sha256_of
from search.cli.corpus import joined_licences, with_licence
from supernet.spaces import CHOICES, AutoTinyBertChoices, default_choices, read_config
from supernet.task_model import read_task_model
from tests.search.cli_fakes import contents, fleetfit, refused
from tests.supernet.tiny import edit_json


def test_what_successive_trainings_saw_adds_up(
    supernet: Path, corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--text", corpus, "--head-tokens", 200, "--batch-tokens", 200, "--seq-lens", "16")
    first, second = tmp_path / "first", tmp_path / "second"
    fleetfit(capsys, "pretrain", supernet, first, *words, "--tokens", 400, "--licence", "CC0-1.0")
    told = read_config(first / "supernet")
    assert told.licences == {"weights": "unknown", "training text": "CC0-1.0"}
    wanted = {"tokens_seen": "400", "head_tokens": "200", "seed": "0", "source": "checkpoint"}
    wanted["training text"] = corpus.name
    assert told.provenance == wanted

    evaluation = ("--text", corpus, "--windows", 4, "--seq-len", 16, "--no-cache")
    fleetfit(capsys, "evaluate", first / "supernet", *evaluation, "--write")
    fleetfit(
        capsys, "pretrain", first / "supernet", second, *words, "--tokens", 200,
        "--licence", "MIT", "--seed", 4,
    )  # fmt: skip
    told = read_config(second / "supernet")
    assert told.licences["training text"] == "CC0-1.0 AND MIT"
    # The losses were of the weights before this training.
    wanted |= {"tokens_seen": "600", "head_tokens": "400", "seed": "4"}
    assert told.provenance == wanted

    third = tmp_path / "third"
    taught = (*words, "--tokens", 200, "--teacher", supernet)
    fleetfit(capsys, "pretrain", second / "supernet", third, *taught)
    teacher = sha256_of(supernet / "supernet.safetensors")[:16]
    told = read_config(third / "supernet")
    assert told.provenance["pretraining teacher"] == teacher
    weights = ("--hidden-weight", 0, "--masked-lm-weight", 1)
    said = refused(capsys, 2, "pretrain", supernet, tmp_path / "no", *taught, *weights)
    assert "--teacher must come with a loss that looks at it" in said


@pytest.mark.parametrize("name", [None, "Made-up words"])
def test_losses_are_kept_beside_the_supernet_where_asked_for(
    supernet: Path,
    corpus: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    name: str | None,
) -> None:
    mine = tmp_path / "supernet"
    shutil.copytree(supernet, mine)
    before = read_config(mine)
    sizes = ("--windows", 4, "--seq-len", 16)
    words = ("evaluate", mine, "--text", corpus, "--store", tmp_path / "s.db", *sizes)
    fleetfit(capsys, *words)
    assert read_config(mine) == before
    named = () if name is None else ("--name", name)
    losses = fleetfit(capsys, *words, "--write", *named)["members"]
    (key,) = read_config(mine).provenance.keys() - before.provenance.keys()
    shown = "4 windows of 16 tokens: hidden-state loss, masked-LM loss"
    assert key == f"{name or 'corpus.txt'}, {shown}"
    assert read_config(mine).provenance[key] == "; ".join(
        f"{n} {e['hidden_loss']:.4f} {e['masked_lm_loss']:.3f}" for n, e in losses.items()
    )
    assert fleetfit(capsys, *words)["members"] == losses


def test_a_conversion_tells_its_stages_and_its_source(
    bert: Path,
    corpus: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told = recorded(monkeypatch, "search.cli.convert.progress")
    words = ("convert", bert, tmp_path / "out", "--text", corpus, "--licence", "MIT")
    fleetfit(capsys, *words, "--source-name", "tiny BERT 1.0")
    assert read_config(tmp_path / "out").provenance == {"source": "tiny BERT 1.0"}
    assert read_config(tmp_path / "out").licences == {"weights": "MIT"}
    assert [(done, total) for done, total, _ in told] == [(i, 4) for i in range(5)]
    assert "importance" in told[2][2]


@pytest.mark.parametrize("space", ["elastic", "supershaper", "autotinybert"])
def test_a_conversion_makes_the_space_it_is_asked_for(
    bert: Path, corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], space: str
) -> None:
    words = ("convert", bert, tmp_path / "out", "--text", corpus)
    made = fleetfit(capsys, *words, "--space", space)
    config = read_config(tmp_path / "out")
    assert (config.space_name, made["size"]) == (space, config.space.size)
    assert config.choices == default_choices(CHOICES[config.space_name], config.source)


def test_a_conversion_narrows_heads_where_asked(
    bert: Path, corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("convert", bert, tmp_path / "out", "--text", corpus, "--heads", 4)
    fleetfit(capsys, *words, "--head-dims", "4,8", "--space", "autotinybert")
    choices = read_config(tmp_path / "out").choices
    assert isinstance(choices, AutoTinyBertChoices)
    assert (choices.heads, choices.head_dims) == ((4,), (4, 8))


def test_learning_tells_each_metric(
    learned: tuple[Path, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told = recorded(monkeypatch, "search.cli.measure.progress")
    fleetfit(capsys, "learn", tmp_path / "costs", "--store", learned[0])
    metrics = ("latency_p50", "latency_p90", "memory", "done")
    assert told == [(i, 3, metric) for i, metric in enumerate(metrics)]


def recorded(monkeypatch: pytest.MonkeyPatch, name: str) -> list[tuple[int, int, str]]:
    """What a verb tells its progress bar from now on."""
    told: list[tuple[int, int, str]] = []

    @contextlib.contextmanager
    def bar(what: str) -> Iterator[Callable[[int, int, str], None]]:
        yield lambda done, total, note: told.append((done, total, note))

    monkeypatch.setattr(name, bar)
    return told


def test_a_fine_tuning_keeps_the_pretrainings_record_and_the_sources_length(
    supernet: Path, labelled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mine = tmp_path / "supernet"
    shutil.copytree(supernet, mine)
    edit_json(mine / "config.json", max_length=17, provenance={"seed": "7"})
    words = ("finetune", mine, tmp_path / "out", "--train", labelled, "--epochs", 1, "--seed", 3)
    fleetfit(capsys, *words)
    model, _ = read_task_model(tmp_path / "out")
    assert model.max_length == 17
    ours = {"seed": "7", "finetune_seed": "3", "finetune_epochs": "1"}
    assert ours.items() <= model.provenance.items()


RECIPE = """
tokens = 400
head_tokens = 0
batch_tokens = 200
seq_lens = [16]
fitted_teacher = true

[sampling]
strategy = "batch_wise"
random_members = 2

[losses]
hidden_layers = "all"
"""


def test_a_recipe_says_what_options_do_not_and_is_kept_with_the_run(
    bert: Path,
    supernet: Path,
    corpus: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run, file, other = tmp_path / "run", tmp_path / "recipe.toml", tmp_path / "other"
    file.write_text(RECIPE)
    fleetfit(capsys, "convert", bert, other, "--text", corpus)
    words = ("pretrain", supernet, run, "--text", corpus, "--teacher", other)
    done = fleetfit(capsys, *words, "--recipe", file, "--tokens", 600)
    assert done["steps"] == 3
    kept = tomllib.loads((run / "recipe.toml").read_text())
    assert kept["tokens"] == 600
    assert kept["sampling"]["strategy"] == "batch_wise"
    assert kept["losses"]["hidden_layers"] == "all"
    assert read_config(run / "supernet").provenance["tokens_seen"] == "600"
    names = {line.split(",")[1] for line in (run / "loss.csv").read_text().splitlines()[1:]}
    assert names == {"random0", "random1", "step"}

    shutil.rmtree(run / "supernet")
    before = contents(run)
    said = refused(capsys, 2, *words, "--recipe", file)  # without --tokens 600
    assert "must come from the same settings" in said
    assert contents(run) == before
    again = fleetfit(capsys, *words, "--recipe", run / "recipe.toml")
    assert again["steps"] == 3


def test_a_recipe_of_the_users_own_in_the_runs_directory_is_left(
    supernet: Path, corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    run.mkdir()
    mine = "# mine\ntokens = 400\nhead_tokens = 0\nseq_lens = [16]\nbatch_tokens = 200\n"
    (run / "recipe.toml").write_text(mine)
    words = ("pretrain", supernet, run, "--text", corpus, "--recipe", run / "recipe.toml")
    said = refused(capsys, 2, *words, "--learning-rate", 1e-4)
    assert "recipe of your own with other settings" in said
    assert fleetfit(capsys, *words)["steps"] == 2
    assert (run / "recipe.toml").read_text() == mine


def test_licences_of_texts_stand_beside_each_other() -> None:
    one = with_licence({"weights": "Apache-2.0"}, "task text", "CC-BY-4.0")
    assert one == {"weights": "Apache-2.0", "task text": "CC-BY-4.0"}
    two = with_licence(one, "task text", "CC0-1.0")
    assert two["task text"] == "CC-BY-4.0 AND CC0-1.0"
    assert with_licence(two, "task text", "CC0-1.0") == two


def test_licences_of_a_teacher_are_joined_each_once() -> None:
    own = {"weights": "MIT", "training text": "CC-BY-4.0 AND CC0-1.0"}
    its = {"weights": "Apache-2.0", "training text": "CC0-1.0 AND unknown", "task text": "CC0-1.0"}
    assert joined_licences(own, its) == {
        "weights": "MIT AND Apache-2.0",
        "training text": "CC-BY-4.0 AND CC0-1.0 AND unknown",
        "task text": "CC0-1.0",
    }
