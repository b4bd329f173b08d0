"""Documents of text files, against files written here."""

from __future__ import annotations

import gzip
import lzma
from pathlib import Path

import pytest

from fleetfit import InputError
from supernet.documents import pieces, read_documents

PIECE = 2**16


def write(path: Path, text: str) -> Path:
    data = text.encode()
    packed = {".xz": lzma.compress(data), ".gz": gzip.compress(data)}
    path.write_bytes(packed.get(path.suffix, data))
    return path


@pytest.mark.parametrize("ending", [".txt", ".xz", ".gz"])
def test_blank_lines_divide_documents(tmp_path: Path, ending: str) -> None:
    path = write(tmp_path / f"text{ending}", "one\n two é \r\n\n \t\nthree\n")
    assert list(read_documents(path)) == ["one", "two é", "", "", "three", ""]


def test_a_file_without_blank_lines_is_one_document(tmp_path: Path) -> None:
    assert list(read_documents(write(tmp_path / "text", "one\ntwo"))) == ["one", "two", ""]


@pytest.mark.parametrize(
    "line",
    ["abc " * 50_000, "x" * 200_000, "a" * (PIECE - 1) + " b", "a" * PIECE, "b " + "c" * 2 * PIECE],
    ids=["words", "no_space", "space_at_the_end", "just_one", "long_word"],
)
@pytest.mark.parametrize("before", ["", "x\n", "x\n\n"])
def test_a_long_line_comes_in_parts_and_whole_words(tmp_path: Path, line: str, before: str) -> None:
    path = write(tmp_path / "text", before + line + "\nend")
    found = list(read_documents(path))
    head = [part.strip() for part in before.splitlines()]
    assert found[: len(head)] == head
    assert found[-2:] == ["end", ""]
    parts = found[len(head) : -2]
    assert all(0 < len(part) <= 2 * PIECE for part in parts)
    if len(line.split()) > 2:
        assert " ".join(parts).split() == line.split()
    assert "".join(parts).replace(" ", "") == line.replace(" ", "")
    assert parts == list(pieces(line))


def test_space_within_a_long_line_ends_no_document(tmp_path: Path) -> None:
    path = write(tmp_path / "text", "a" + " " * 3 * PIECE + "b\n")
    assert list(read_documents(path)) == ["a", "b", ""]


def test_the_bytes_read_are_those_of_the_packed_file(tmp_path: Path) -> None:
    path = write(tmp_path / "text.gz", "word\n" * 1000)
    seen: list[int] = []
    list(read_documents(path, seen.append))
    assert seen == sorted(seen)
    assert seen[-1] == path.stat().st_size


@pytest.mark.parametrize("data", [b"a\0b", b"\xff\xfe\xfa"], ids=["zeros", "not_utf8"])
def test_binary_is_refused_by_name(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "text"
    path.write_bytes(data)
    with pytest.raises(InputError, match="text must be"):
        list(read_documents(path))
