"""Texts of files and of ``datasets``; its local data files stand for the Hub."""

from __future__ import annotations

import gc
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fleetfit import InputError, SurroundingsError
from supernet.corpora import PublicCorpus, TextFile
from supernet.token_cache import TokenCache

ROWS = [{"text": "one\n\ntwo", "n": 1, "body": "x"}, {"text": "", "n": 2, "body": "y"}]


def silent(done: int) -> None:
    pass


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A corpus with two splits as JSON lines."""
    pytest.importorskip("datasets")
    path = tmp_path / "corpus"
    path.mkdir()
    (path / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    (path / "test.jsonl").write_text(json.dumps(ROWS[0] | {"text": "three"}) + "\n")
    return path


def test_a_row_is_a_document(folder: Path) -> None:
    seen: list[int] = []
    corpus = PublicCorpus(name=str(folder))
    assert list(corpus.read(seen.append)) == ["one", "two", "", ""]
    assert seen == [1, 2]
    test = PublicCorpus(name=str(folder), split="test")
    assert list(test.read(silent)) == ["three", ""]
    body = PublicCorpus(name=str(folder), column="body")
    assert list(body.read(silent)) == ["x", "", "y", ""]


def test_a_limit_ends_the_reading_quietly(folder: Path, tmp_path: Path, tokenizer: Any) -> None:
    rows = "".join(json.dumps({"text": "w00 w01"}) + "\n" for _ in range(3000))
    (folder / "train.jsonl").write_text(rows)
    cache = TokenCache(tmp_path / "cache", tokenizer, shard_tokens=10)
    stream = cache.stream([PublicCorpus(name=str(folder))], limit=5)
    gc.collect()  # what was left open would warn, and a warning is an error
    assert np.asarray(stream.tokens).tolist() == [5, 6, 5, 6, 5]
    assert stream.ends is not None
    assert stream.ends.tolist() == [2, 4, 5]


def test_a_changed_corpus_has_another_digest(folder: Path) -> None:
    corpus = PublicCorpus(name=str(folder))
    digests = [
        corpus.digest(),
        PublicCorpus(name=str(folder), split="test").digest(),
        PublicCorpus(name=str(folder), column="body").digest(),
    ]
    assert corpus.digest() == digests[0]
    (folder / "train.jsonl").write_text(json.dumps(ROWS[0]) + "\n")
    assert len({*digests, corpus.digest()}) == 4


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"column": "words"}, r"column 'words'.*text \(str\), n \(int\)"),
        ({"column": "n"}, "column 'n' .* must hold text"),
        ({"split": "nope"}, r"nope.*train"),
        ({"config": "nope"}, r"nope.*default"),
    ],
    ids=["no_column", "numbers", "split", "config"],
)
def test_names_that_are_not_there_are_refused(
    folder: Path, changes: dict[str, Any], complaint: str
) -> None:
    corpus = PublicCorpus(name=str(folder), **changes)
    with pytest.raises(InputError, match=complaint) as refused:
        list(corpus.read(silent))
    assert "\n" not in str(refused.value)


def test_a_folder_that_is_not_there_is_refused(folder: Path) -> None:
    with pytest.raises(InputError, match="must be one that datasets can stream"):
        PublicCorpus(name=str(folder / "none")).digest()


@pytest.mark.parametrize("error", [ConnectionError("no route\nat all."), OSError(), TimeoutError()])
def test_a_network_that_is_down_is_of_the_surroundings(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    datasets = pytest.importorskip("datasets")

    def fail(*args: Any) -> None:
        raise error

    monkeypatch.setattr(datasets, "load_dataset_builder", fail)
    with pytest.raises(SurroundingsError, match=r"a/b must be reachable, but is not: \w[^.\n]*;"):
        PublicCorpus(name="a/b").digest()


def test_a_missing_library_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(SurroundingsError, match=r"pip install 'fleetfit\[corpora\]'"):
        list(PublicCorpus(name="a/b").read(silent))


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("a/b", ("a/b", None, "train")),
        ("a/b:c", ("a/b", "c", "train")),
        ("a/b:c:d", ("a/b", "c", "d")),
        ("a/b::d", ("a/b", None, "d")),
    ],
)
def test_a_name_may_hold_config_and_split(text: str, wanted: tuple[str | None, ...]) -> None:
    corpus = PublicCorpus.parse(text)
    assert (corpus.name, corpus.config, corpus.split) == wanted


@pytest.mark.parametrize("text", ["", ":c", "a:b:c:d"])
def test_another_form_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="must read NAME"):
        PublicCorpus.parse(text)


def test_a_file_is_known_by_its_bytes_and_packing(tmp_path: Path) -> None:
    names = ("a.txt", "b.txt", "a.xz")
    for name, data in zip(names, ("one", "one", "one"), strict=True):
        (tmp_path / name).write_text(data)
    digests = [TextFile(path=tmp_path / name).digest() for name in names]
    assert digests[0] == digests[1] != digests[2]
    (tmp_path / "a.txt").write_text("two")
    assert TextFile(path=tmp_path / "a.txt").digest() not in digests


@pytest.mark.parametrize("name", ["none.txt", "."])
def test_a_file_must_be_there(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="must be an existing text file"):
        TextFile(path=tmp_path / name).digest()
