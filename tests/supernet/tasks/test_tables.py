"""Labelled texts: what the file says is what comes out; what is missing is named."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetfit import InputError
from supernet.tasks import LabelledTexts, read_column, read_labelled, split


def test_a_csv_by_hand(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text('label,text\nb,"one, ""two"""\na,three\n')
    assert read_labelled(path) == LabelledTexts(
        texts=('one, "two"', "three"), labels=(1, 0), names=("a", "b")
    )


def test_a_tsv_has_no_quoting(tmp_path: Path) -> None:
    path = tmp_path / "t.tsv"
    path.write_text('sentence\ty\n"one\ta\ntwo\tb\n')
    got = read_labelled(path, text="sentence", label="y")
    assert got.texts == ('"one', "two")


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=9), min_size=1))
def test_any_text_comes_back_from_a_csv(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str]
) -> None:
    path = tmp_path_factory.mktemp("csv") / "t.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, quoting=csv.QUOTE_ALL)
        writer.writerows([["text", "label"], *([text, "a"] for text in texts)])
    assert list(read_labelled(path).texts) == [_newlines(t) for t in texts]


def _newlines(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")  # as text files are read


@pytest.mark.parametrize(("text", "label"), [("words", "label"), ("text", "intent")])
def test_a_missing_column_is_named_with_those_there(tmp_path: Path, text: str, label: str) -> None:
    path = tmp_path / "t.csv"
    path.write_text("text,label\nx,a\n")
    with pytest.raises(InputError, match=r"'(words|intent)', but it has: text, label"):
        read_labelled(path, text=text, label=label)


def test_an_unseen_label_is_named(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("text,label\nx,a\ny,c\n")
    with pytest.raises(InputError, match="'c'"):
        read_labelled(path, names=("a", "b"))


@pytest.mark.parametrize("content", ["", "text,label\n"], ids=["empty", "header"])
def test_a_file_without_rows_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "t.csv"
    path.write_text(content)
    with pytest.raises(InputError, match="a header line and rows"):
        read_labelled(path)


def test_a_short_row_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("text,label\nx,a\ny\n")
    with pytest.raises(InputError, match="Every row"):
        read_labelled(path)


def test_one_column_without_blanks(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("text,label\nx,a\n,b\ny,c\n")
    assert read_column(path, "text") == ["x", "y"]


@given(
    labels=st.lists(st.integers(0, 3), min_size=8, max_size=60),
    share=st.floats(0.05, 0.95),
    seed=st.integers(0, 99),
)
def test_a_split_is_stratified_and_loses_nothing(
    labels: list[int], share: float, seed: int
) -> None:
    data = LabelledTexts(
        texts=tuple(map(str, range(len(labels)))), labels=tuple(labels), names=tuple("abcd")
    )
    train, dev = split(data, share=share, seed=seed)
    assert sorted((*train.texts, *dev.texts), key=int) == list(data.texts)
    for part in (train, dev):
        assert all(labels[int(t)] == y for t, y in zip(part.texts, part.labels, strict=True))
    for label in set(labels):
        count, held = labels.count(label), dev.labels.count(label)
        assert held == min(count - 1, max(1, round(share * count)))
    assert split(data, share=share, seed=seed) == (train, dev)


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_a_share_out_of_range_is_refused(share: float) -> None:
    with pytest.raises(InputError, match="0 < share < 1"):
        split(LabelledTexts(texts=("a",), labels=(0,), names=("x",)), share=share, seed=0)


def test_a_task_has_two_labels() -> None:
    data = LabelledTexts(texts=("a", "b"), labels=(0, 0), names=("only",))
    with pytest.raises(InputError, match="at least two labels, but the only one is 'only'"):
        split(data, share=0.5, seed=0)
