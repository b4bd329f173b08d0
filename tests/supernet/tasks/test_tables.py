"""Labelled texts: what the file says is what comes out; what is missing is named."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetfit import InputError
from supernet.tasks import Columns, LabelledTexts, read_labelled


def test_a_csv_by_hand(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text('label,text\nb,"one, ""two"""\na,three\n')
    assert read_labelled(path, Columns()) == LabelledTexts(
        texts=('one, "two"', "three"), labels=(1, 0), names=("a", "b")
    )


def test_a_tsv_has_no_quoting(tmp_path: Path) -> None:
    path = tmp_path / "t.tsv"
    path.write_text('sentence\ty\n"one\ta\ntwo\tb\n')
    got = read_labelled(path, Columns(text="sentence", label="y"))
    assert got.texts == ('"one', "two")


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=9), min_size=1))
def test_any_text_comes_back_from_a_csv(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str]
) -> None:
    path = tmp_path_factory.mktemp("csv") / "t.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, quoting=csv.QUOTE_ALL)
        writer.writerows([["text", "label"], *([text, "a"] for text in texts)])
    assert list(read_labelled(path, Columns()).texts) == [_newlines(t) for t in texts]


def _newlines(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")  # as text files are read


@pytest.mark.parametrize(("text", "label"), [("words", "label"), ("text", "intent")])
def test_a_missing_column_is_named_with_those_there(tmp_path: Path, text: str, label: str) -> None:
    path = tmp_path / "t.csv"
    path.write_text("text,label\nx,a\n")
    with pytest.raises(InputError, match=r"'(words|intent)', but it has: text, label"):
        read_labelled(path, Columns(text=text, label=label))


def test_an_unseen_label_is_named(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("text,label\nx,a\ny,c\n")
    with pytest.raises(InputError, match=r"learned \(a, b\), but 'c' is not"):
        read_labelled(path, Columns(), names=("a", "b"))


@pytest.mark.parametrize("content", ["", "text,label\n"], ids=["empty", "header"])
def test_a_file_without_rows_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "t.csv"
    path.write_text(content)
    with pytest.raises(InputError, match="a header line and rows"):
        read_labelled(path, Columns())


@pytest.mark.parametrize("row", ["y", "y,"], ids=["short", "blank label"])
def test_a_row_without_a_label_is_refused_by_its_number(tmp_path: Path, row: str) -> None:
    path = tmp_path / "t.csv"
    path.write_text(f"text,label\nx,a\n{row}\n")
    with pytest.raises(InputError, match="must have a 'label', but row 2 has none"):
        read_labelled(path, Columns())


def test_a_document_of_any_length_is_read(tmp_path: Path) -> None:
    """The csv module alone refuses fields over 131,072 characters."""
    path = tmp_path / "t.csv"
    path.write_text(f"text,label\n{'word ' * 100_000},a\n")
    before = csv.field_size_limit()
    assert len(read_labelled(path, Columns()).texts[0]) == 500_000
    assert csv.field_size_limit() == before
