"""Texts of a file, and what is no file of texts."""

from __future__ import annotations

import gzip
import subprocess
import sys
from pathlib import Path

import pytest

from fleetfit import InputError
from supernet.columns import read_column, read_texts


def test_one_column_without_blanks(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("text,label\nx,a\n,b\ny,c\n")
    assert read_column(path, "text") == ["x", "y"]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("t.csv", b'n,text\n1,"one, two"\n2,\n3,three\n'),
        ("t.TSV", b"n\ttext\n1\tone, two\n3\tthree\n"),
        ("t.txt", b"one, two\n\n  three\n"),
        ("t.txt.gz", gzip.compress(b"one, two\nthree")),
    ],
)
def test_the_name_says_how_a_file_is_read(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    assert list(read_texts(path, "text")) == ["one, two", "three"]


@pytest.mark.parametrize(
    ("name", "content", "wanted"),
    [
        ("t.txt", b" \n\n", "must hold text, but it is empty"),
        ("t.csv", b"text,label\n,a\n", "must hold text, but it is empty"),
        ("t.csv", b"text,label\n", "a header line and rows"),
        ("t.csv", b"words,label\nx,a\n", "a column 'text', but it has: words, label"),
        ("t.csv", b"text\n\xff\n", "must be UTF-8 text"),
        ("t.txt", b"caf\xe9\n", "must be UTF-8 text"),
        ("t.txt", b"a\0b\n", "is it binary"),
        ("t.gz", b"plain", "must be UTF-8 text, plain, .xz or .gz"),
    ],
)
def test_what_holds_no_text_is_refused(
    tmp_path: Path, name: str, content: bytes, wanted: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InputError, match=wanted):
        list(read_texts(path, "text"))


@pytest.mark.parametrize("name", ["none.txt", "none.csv"])
def test_a_file_that_is_not_there_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="must be an existing"):
        list(read_texts(tmp_path / name, "text"))


def test_reading_texts_needs_no_torch() -> None:
    """Where networks are measured there need be none."""
    code = "import sys, supernet.columns; print('torch' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert found.stdout.strip() == "False"
