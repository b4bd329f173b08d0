"""What is exported is what is scored: every kind of task, from the command line to a bundle."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from exporters import load_bundle
from search.cli import main
from supernet.task_model import read_task_model
from supernet.tasks import read_squad
from supernet.tasks.answers import answer_f1
from tests.search.cli_fakes import contents, fleetfit, measure_by_fake, refused

WORDS = ("the", "a", "cat", "dog", "sat", "on", "mat", "lost", "my", "need", "new", "where", "is")
COLUMNS = ("--text-column", "one", "--pair-column", "two", "--label-column", "y")
EXPORT = ("--target", "onnxruntime-fp32", "--threads", "1", "--seq-len", "16")


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    """Pairs with a label that says whether both start with the same word."""
    draw = random.Random(3)
    rows = []
    for i in range(40):
        first, second = draw.sample(WORDS, 6), draw.sample(WORDS, 6)
        if i % 2:
            second[0] = first[0]
        rows.append(f"{' '.join(first)},{' '.join(second)},{i % 2}")
    path = tmp_path / "pairs.csv"
    path.write_text("\n".join(["one,two,y", *rows]) + "\n")
    return path


def tune(
    capsys: pytest.CaptureFixture[str], supernet: Path, out: Path, *words: object
) -> dict[str, object]:
    short = ("--epochs", 1, "--max-length", 16)
    return fleetfit(capsys, "finetune", supernet, out, *words, *short)


def test_pairs_go_from_a_table_to_an_answer(
    supernet: Path,
    pairs: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    measure_by_fake(monkeypatch)
    model, bundle = tmp_path / "model", tmp_path / "bundle"
    tuned = tune(capsys, supernet, model, "--train", pairs, "--test", pairs, *COLUMNS)
    words = ("export", model, bundle, "--test", pairs, *COLUMNS, *EXPORT)
    exported = fleetfit(capsys, *words, "--store", tmp_path / "s.db")
    assert exported["test_accuracy"] == tuned["test_accuracy"]
    assert load_bundle(bundle).manifest.pairs
    asked = ("my cat", "--pair", "the mat")
    (answer,) = fleetfit(capsys, "run", bundle, *asked)["answers"]
    assert answer == load_bundle(bundle).predict(["my cat"], ["the mat"])[0]
    assert "second text of each pair, but it is not; add --pair" in refused(
        capsys, 2, "run", bundle, "my cat"
    )


def test_numbers_go_from_a_table_to_an_answer(
    supernet: Path,
    pairs: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    measure_by_fake(monkeypatch)
    model, bundle = tmp_path / "model", tmp_path / "bundle"
    given = ("--text-column", "one", "--label-column", "y")
    tuned = tune(capsys, supernet, model, "--train", pairs, "--test", pairs, *given, "--regression")
    words = ("export", model, bundle, "--test", pairs, *given, *EXPORT)
    exported = fleetfit(capsys, *words, "--store", tmp_path / "s.db")
    assert exported["test_pearson"] == pytest.approx(tuned["test_pearson"], abs=1e-3)
    metric = load_bundle(bundle).manifest.metric
    assert metric is not None
    assert (metric.name, metric.data) == ("pearson", "pairs.csv")
    answers = fleetfit(capsys, "run", bundle, "my cat", "the mat")["answers"]
    assert answers == load_bundle(bundle).numbers(["my cat", "the mat"])


@pytest.fixture
def questions(tmp_path: Path) -> Path:
    draw = random.Random(4)
    data = []
    for i in range(8):
        words = draw.sample(WORDS, 12)
        answer = {"text": words[i], "answer_start": len(" ".join([*words[:i], ""])) if i else 0}
        asked = {"id": str(i), "question": "where is", "answers": [answer]}
        data.append({"paragraphs": [{"context": " ".join(words), "qas": [asked]}]})
    path = tmp_path / "questions.json"
    path.write_text(json.dumps({"data": data}))
    return path


def test_spans_become_a_bundle_that_is_scored(
    supernet: Path,
    questions: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    measure_by_fake(monkeypatch)
    model, bundle = tmp_path / "model", tmp_path / "bundle"
    asked = ("--task", "squad", "--train", questions, "--test", questions)
    tuned = tune(capsys, supernet, model, *asked, "--max-length", 12)
    words = ("export", model, bundle, "--test", questions, *EXPORT, "--store", tmp_path / "s.db")
    assert fleetfit(capsys, *words)["test_f1"] == pytest.approx(tuned["test_f1"], abs=1e-6)
    loaded = load_bundle(bundle)
    assert loaded.manifest.parity.holds
    assert "--pair" in refused(capsys, 2, "run", bundle, "my cat")

    items = read_squad(questions).items
    found = loaded.answer([i.question for i in items], [i.context for i in items])
    pairs = zip(found, items, strict=True)
    scores = [answer_f1(one.text, [a.text for a in item.answers]) for one, item in pairs]
    assert sum(scores) / len(scores) == pytest.approx(tuned["test_f1"], abs=1e-6)
    context = ("--pair", items[0].context)
    (shown,) = fleetfit(capsys, "run", bundle, items[0].question, *context)["answers"]
    assert shown["text"] == found[0].text


def test_a_glue_task_is_scored_in_its_own_layout(
    supernet: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    measure_by_fake(monkeypatch)
    folder = tmp_path / "CoLA"
    folder.mkdir()
    rows = [f"gj04\t{i % 2}\t\t{' '.join(random.Random(i).sample(WORDS, 5))}" for i in range(30)]
    for name in ("train.tsv", "dev.tsv"):
        (folder / name).write_text("\n".join(rows) + "\n")
    model = tmp_path / "model"
    tuned = tune(capsys, supernet, model, "--task", "cola", "--data", tmp_path)
    assert list(tuned)[:4] == ["dev_matthews", "dev_accuracy", "test_matthews", "test_accuracy"]
    assert read_task_model(model)[0].task == "cola"
    words = ("export", model, tmp_path / "bundle", "--test", folder / "dev.tsv", "--task", "cola")
    exported = fleetfit(capsys, *words, *EXPORT, "--store", tmp_path / "s.db")
    assert exported["test_matthews"] == tuned["test_matthews"]


def test_a_file_of_single_texts_does_not_score_pairs(
    supernet: Path, pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tmp_path / "model"
    tune(capsys, supernet, model, "--train", pairs, *COLUMNS)
    single = (*COLUMNS[:2], *COLUMNS[4:])
    words = ("export", model, tmp_path / "bundle", "--test", pairs, *single, *EXPORT)
    said = refused(capsys, 2, *words, "--store", tmp_path / "s.db")
    assert "read as pairs of texts" in said
    assert not (tmp_path / "bundle").exists()


def test_a_task_of_another_kind_does_not_score(
    supernet: Path, pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Numbers by a model of classes."""
    model, dev = tmp_path / "model", tmp_path / "dev.tsv"
    tune(capsys, supernet, model, "--train", pairs, *COLUMNS)
    dev.write_text("sentence1\tsentence2\tscore\nw01 w02\tw03\t2.5\n")
    words = ("export", model, tmp_path / "bundle", "--test", dev, "--task", "stsb", *EXPORT)
    said = refused(capsys, 2, *words, "--store", tmp_path / "s.db")
    assert "task that was learned, classification, with its labels, but the task stsb" in said
    dev.write_text("sentence1\tsentence2\tlabel\nw01 w02\tw03\tentailment\n")  # other classes
    other = ("rte" if word == "stsb" else word for word in words)
    said = refused(capsys, 2, *other, "--store", tmp_path / "s.db")
    assert "but the task rte is another" in said


def test_a_teacher_is_written_down_and_one_of_other_labels_refused(
    supernet: Path,
    labelled: Path,
    pairs: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    teacher, student = tmp_path / "teacher", tmp_path / "student"
    tune(capsys, supernet, teacher, "--train", labelled)
    tune(
        capsys, supernet, student, "--train", labelled, "--teacher", teacher,
        "--architecture", "smallest", "--teacher-weight", 2,
    )  # fmt: skip
    facts = read_task_model(student)[0].provenance
    assert facts["teacher_weight"] == "2"
    assert len(facts["teacher"]) == 16
    single = (*COLUMNS[:2], *COLUMNS[4:])
    other = ("finetune", supernet, tmp_path / "other", "--train", pairs, *single)
    before = contents(teacher)
    assert "the task's 2 labels" in refused(capsys, 2, *other, "--teacher", teacher)
    assert contents(teacher) == before
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize(
    ("words", "named"),
    [
        ((), "--train must be given"),
        (("--task", "sst2"), "--data must be given: GLUE's folder"),
        (("--task", "squad"), "--train must be given"),
        (("--data", "."), "--data must come with --task"),
        (("--task", "sst2", "--data", ".", "--train", "t.csv"), "must be given --data alone"),
        (("--task", "squad", "--data", ".", "--train", "t.json"), "must be given --train alone"),
        (("--task", "stsb", "--data", ".", "--regression"), "leave out --text-column"),
        (("--task", "sst2", "--data", ".", "--label-column", "y"), "leave out --text-column"),
        (("--train", "t.csv", "--random-members", "2"), "--random-members must come with --super"),
        (("--task", "mnli", "--data", "."), "--task must be one of sst2, cola, "),
        (("--task", "SST-2", "--data", "."), "got 'SST-2'; perhaps sst2 is meant"),
        (("--train", "train-v1.1.json"), "add --task squad"),
    ],
    ids=str,
)
def test_options_that_contradict_each_other_are_refused(
    supernet: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    words: tuple[str, ...],
    named: str,
) -> None:
    assert named in refused(capsys, 2, "finetune", supernet, tmp_path / "out", *words)
    assert not (tmp_path / "out").exists()


def test_cut_texts_and_a_test_part_are_told_in_one_line_each(
    supernet: Path,
    labelled: Path,
    pairs: Path,
    questions: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def told(*words: object, about: str = "tokens: ") -> str:
        place = tmp_path / f"out{len(list(tmp_path.iterdir()))}"
        short = ("--epochs", "1", "--architecture", "smallest")
        assert main([*map(str, ("finetune", supernet, place, *words)), *short]) == 0
        lines = [x for x in capsys.readouterr().err.splitlines() if about in x]
        return "\n".join(lines)

    said = told("--train", labelled, "--max-length", 5)
    assert said == "40 of 40 examples are longer than 5 tokens: they are cut at their end " + (
        "(--max-length)."
    )
    assert "the longer text of each pair is cut" in told(
        "--train", pairs, *COLUMNS, "--max-length", 9
    )
    squad = ("--task", "squad", "--train", questions, "--test", questions)
    assert "16 of 16 examples" in told(*squad, "--max-length", 12)
    assert not told(*squad, about="kept apart")
    assert told(*squad[:-2], about="kept apart") == (
        "2 of 8 examples are kept apart as test: there is no file for it."
    )
