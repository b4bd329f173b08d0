"""From files to parts that share nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fleetfit import InputError
from supernet.tasks import Columns, SpanExtraction, read_questions, read_table


def table(tmp_path: Path, *rows: str) -> Path:
    path = tmp_path / "t.csv"
    path.write_text("\n".join(["a,b,y", *rows]) + "\n")
    return path


def test_a_table_of_pairs(tmp_path: Path, tokenizer: Any) -> None:
    path = table(tmp_path, *(f"w0{i},w1{i},{'xy'[i % 2]}" for i in range(10)))
    source = read_table(path, path, Columns(text="a", pair="b", label="y"))
    assert source.name == "t.csv"
    assert source.pairs
    assert source.task.labels == ("x", "y")
    assert source.train.pairs == tuple(f"w1{i}" for i in range(10))
    parts = source.encoded(tokenizer, 16, share=0.2, seed=0)
    assert parts.test is not None
    assert (len(parts.train), len(parts.dev), len(parts.test)) == (8, 2, 10)
    assert parts.cut == 0
    assert len(source) == 20
    cut = source.encoded(tokenizer, 5, share=0.2, seed=0)
    assert cut.cut == 0  # one word each fits
    assert parts.train.segments[0] == [0, 0, 0, 1, 1]


def test_cut_texts_are_counted_over_all_parts(tmp_path: Path, tokenizer: Any) -> None:
    path = table(tmp_path, *(f"w0{i} w01 w02 w03,w1{i},{'xy'[i % 2]}" for i in range(10)))
    source = read_table(path, path, Columns(text="a", label="y"))
    assert source.encoded(tokenizer, 5, share=0.2, seed=0).cut == 20


def test_a_table_of_numbers(tmp_path: Path) -> None:
    path = table(tmp_path, *(f"t{i},u{i},{i / 2}" for i in range(10)))
    source = read_table(path, None, Columns(text="a", label="y"), regression=True)
    assert source.task.kind == "regression"
    train, dev = source.parts(share=0.3, seed=1)
    assert (len(train), len(dev)) == (7, 3)
    assert sorted((*train.texts, *dev.texts)) == sorted(source.train.texts)
    assert all(n == int(t[1:]) / 2 for t, n in zip(dev.texts, dev.numbers, strict=True))
    assert source.parts(share=0.3, seed=1)[1] == dev != source.parts(share=0.3, seed=2)[1]


def test_too_few_numbers_to_correlate_are_refused(tmp_path: Path) -> None:
    path = table(tmp_path, *(f"t{i},u{i},{i / 2}" for i in range(10)))
    source = read_table(path, None, Columns(text="a", label="y"), regression=True)
    with pytest.raises(InputError, match=r"at least 3 numbers .* share of 0.2 of 10 .* has 2"):
        source.parts(share=0.2, seed=1)


def test_labels_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="finite numbers, but one is 'good'"):
        read_table(table(tmp_path, "t,u,good"), None, Columns(text="a", label="y"), regression=True)


def test_numbers_of_another_order_are_refused(tmp_path: Path, tokenizer: Any) -> None:
    path = table(tmp_path, *["t,u,1"] * 5, "t,u,-5000")
    source = read_table(path, None, Columns(text="a", label="y"), regression=True)
    with pytest.raises(InputError, match="one is 5000; divide them"):
        source.encoded(tokenizer, 16, share=0.5, seed=0)


def test_a_label_that_training_has_not_is_refused(tmp_path: Path) -> None:
    train = table(tmp_path, "t,u,x", "t,u,y")
    other = tmp_path / "other.csv"
    other.write_text("a,b,y\nt,u,z\n")
    with pytest.raises(InputError, match=r"those that are learned \(x, y\), but 'z' is not"):
        read_table(train, other, Columns(text="a", label="y"))


def test_a_missing_second_column_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="a column 'c', but it has: a, b, y"):
        read_table(table(tmp_path, "t,u,x"), None, Columns(text="a", pair="c", label="y"))


def articles(tmp_path: Path, count: int) -> Path:
    answers = [{"text": "w01", "answer_start": 4}]
    asked = [{"id": str(i), "question": "w02", "answers": answers} for i in range(2)]
    one = {"paragraphs": [{"context": "w00 w01", "qas": asked}]}
    path = tmp_path / "q.json"
    path.write_text(json.dumps({"data": [one] * count}))
    return path


def test_articles_stay_whole(tmp_path: Path) -> None:
    source = read_questions(articles(tmp_path, 10), None)
    assert isinstance(source.task, SpanExtraction)
    train, dev = source.parts(share=0.25, seed=0)
    groups = [set(part.articles) for part in (train, dev, source.test)]
    assert [len(g) for g in groups] == [6, 2, 2]
    assert set().union(*groups) == set(range(10))
    assert sum(len(p) for p in (train, dev, source.test)) == 20


def test_a_given_test_file_leaves_the_others_whole(tmp_path: Path) -> None:
    path = articles(tmp_path, 4)
    source = read_questions(path, path)
    assert len(source.train) == len(source.test) == 8


def test_too_few_articles_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="at least two groups"):
        read_questions(articles(tmp_path, 1), None)
