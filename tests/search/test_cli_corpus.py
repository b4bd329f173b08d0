"""Where ``pretrain`` takes its text from, against the same text given in another way."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from search.cli.corpus import names_of
from tests.search.cli_fakes import contents, fleetfit, refused

SHORT = ("--tokens", 200, "--head-tokens", 0, "--batch-tokens", 100, "--seq-lens", "16")


@pytest.fixture
def documents(corpus: Path, tmp_path: Path) -> Path:
    """The lines of the corpus in documents of one to five lines, divided by blank lines."""
    lines = corpus.read_text().splitlines()
    path = tmp_path / "documents.txt"
    path.write_text("\n".join(line + "\n" * (i % 5 == 0 or i < 9) for i, line in enumerate(lines)))
    return path


def test_a_corpus_by_name_trains_like_the_same_text(
    supernet: Path, documents: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("datasets")
    folder = tmp_path / "corpus"
    folder.mkdir()
    rows = [json.dumps({"words": text}) for text in documents.read_text().split("\n\n")]
    (folder / "valid.jsonl").write_text("\n".join(rows))
    named = ("--corpus", f"{folder}::validation", "--corpus-column", "words")
    runs = {"file": ("--text", documents), "name": named}
    for name, words in runs.items():
        fleetfit(capsys, "pretrain", supernet, tmp_path / name, *SHORT, *words)
    trained = [
        {Path(name).name: data for name, data in contents(tmp_path / run / "supernet").items()}
        for run in runs
    ]
    assert len(trained[0]) == 3
    told = [json.loads(files.pop("config.json")) for files in trained]
    texts = [config["provenance"].pop("training text") for config in told]
    assert texts == ["documents.txt", "corpus::validation"]
    assert told[0] == told[1]
    assert trained[0] == trained[1]


def test_places_are_not_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "wiki").mkdir()
    monkeypatch.chdir(tmp_path / "wiki")
    corpora = [f"{tmp_path}/wiki/", f"{tmp_path}/wiki::test", ".", "some/where:en:train"]
    told = names_of([tmp_path / "a.txt"], corpora)
    assert told == "a.txt, wiki, wiki::test, wiki, some/where:en:train"


def test_tokenised_text_is_kept_where_told_and_used_again(
    supernet: Path, documents: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = tmp_path / "kept"
    words = (*SHORT, "--text", documents, "--cache", kept)
    fleetfit(capsys, "pretrain", supernet, tmp_path / "first", *words)
    before = {path: path.stat().st_mtime_ns for path in kept.rglob("*")}
    assert sorted(path.name for path in before if path.is_file()) == [
        ".lock", "00000.ends.npy", "00000.json", "00000.tokens.npy", "index.json"
    ]  # fmt: skip
    fleetfit(capsys, "pretrain", supernet, tmp_path / "second", *words)
    assert before == {path: path.stat().st_mtime_ns for path in kept.rglob("*")}


def test_a_text_or_a_corpus_must_be_given(
    supernet: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = refused(capsys, 2, "pretrain", supernet, tmp_path / "run", *SHORT)
    assert said.endswith("add --text or --corpus.")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", ["", "a:b:c:d"])
def test_a_corpus_has_a_name(
    supernet: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    said = refused(capsys, 2, "pretrain", supernet, tmp_path / "run", "--corpus", name)
    assert "must read NAME" in said


def test_a_cache_that_cannot_be_written_is_of_the_surroundings(
    supernet: Path, documents: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    taken = tmp_path / "taken"
    taken.write_text("mine")
    words = ("--text", documents, "--cache", taken)
    said = refused(capsys, 4, "pretrain", supernet, tmp_path / "run", *words)
    assert "taken" in said
    assert taken.read_text() == "mine"
    assert not (tmp_path / "run").exists()


def test_documents_that_fill_no_window_are_refused(
    supernet: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = tmp_path / "short.txt"
    text.write_text("the cat\n\nthe dog\n")
    said = refused(capsys, 2, "pretrain", supernet, tmp_path / "run", "--text", text, *SHORT)
    assert "at least one batch of 100 tokens, but this one has 4" in said
