"""Text files and token windows, against files written here and windows cut by hand."""

from __future__ import annotations

import gzip
import lzma
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fleetfit import InputError
from supernet.text import TokenStream, ids_of, read_lines, read_tokens, restore_wikitext

TEXT = "one\n\n  two é  \nthree"


def write(path: Path, data: bytes) -> Path:
    packed = {".xz": lzma.compress(data), ".gz": gzip.compress(data)}
    path.write_bytes(packed.get(path.suffix, data))
    return path


@pytest.mark.parametrize("ending", [".txt", ".xz", ".gz"])
def test_packed_text_reads_like_plain_text(tmp_path: Path, ending: str) -> None:
    path = write(tmp_path / f"text{ending}", TEXT.encode())
    assert list(read_lines(path)) == ["one", "two é", "three"]


@pytest.mark.parametrize("ending", [".txt", ".xz", ".gz"])
@pytest.mark.parametrize("data", [b"a\0b", b"\xff\xfe\xfa"], ids=["zeros", "not_utf8"])
def test_binary_is_refused_by_name(tmp_path: Path, ending: str, data: bytes) -> None:
    path = write(tmp_path / f"text{ending}", data)
    with pytest.raises(InputError, match=r"text\."):
        list(read_lines(path))


@pytest.mark.parametrize("ending", [".xz", ".gz"])
def test_a_truncated_file_is_refused(tmp_path: Path, ending: str) -> None:
    path = write(tmp_path / f"text{ending}", np.random.default_rng(0).bytes(999).hex().encode())
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(InputError, match=r"must be UTF-8 text, plain, \.xz or \.gz"):
        list(read_lines(path))


def test_a_damaged_gz_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "text.gz", TEXT.encode() * 50)
    data = bytearray(path.read_bytes())
    data[10:20] = b"\xff" * 10
    path.write_bytes(bytes(data))
    with pytest.raises(InputError, match=r"text\.gz"):
        list(read_lines(path))


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not there"):
        list(read_lines(tmp_path / "none.txt"))


def test_wikitext_marks_are_undone() -> None:
    lines = ["= Title =", "well @-@ known 1 @,@ 000 or 2 @.@ 5 of <unk>"]
    assert list(restore_wikitext(lines)) == ["well-known 1,000 or 2.5 of [UNK]"]


def test_tokens_by_hand(tokenizer: Any) -> None:
    stream = read_tokens(["w00 W01", "else w02 [UNK] w03 w04 w05"], tokenizer)
    assert np.asarray(stream.tokens).tolist() == [5, 6, 1, 7, 1, 8, 9, 10]
    assert (stream.cls_id, stream.sep_id) == (2, 3)
    cut = read_tokens(["w00 w01 w02"], tokenizer, limit=2)
    assert np.asarray(cut.tokens).tolist() == [5, 6]


def test_a_line_of_any_length_is_tokenised(tokenizer: Any) -> None:
    words = [f"w{i % 95:02d}" for i in range(60_000)]  # 240,000 characters
    stream = read_tokens([" ".join(words), "w01"], tokenizer)
    assert np.array_equal(stream.tokens, [*(5 + i % 95 for i in range(60_000)), 6])


@pytest.mark.parametrize("lines", [[], [" "]], ids=["nothing", "blank"])
def test_an_empty_corpus_is_refused(tokenizer: Any, lines: list[str]) -> None:
    with pytest.raises(InputError, match="empty"):
        read_tokens(lines, tokenizer)


def test_windows_by_hand() -> None:
    stream = TokenStream(tokens=np.arange(10, 21, dtype=np.uint16), cls_id=2, sep_id=3)
    assert stream.windows(5) == 3  # 11 tokens, 3 in each
    got = stream.batch([2, 0], 5)
    assert got.dtype == np.int64
    assert got.tolist() == [[2, 16, 17, 18, 3], [2, 10, 11, 12, 3]]


@pytest.mark.parametrize(("entries", "bits"), [(65_536, 16), (65_537, 32)])
def test_ids_above_16_bits_are_kept(entries: int, bits: int) -> None:
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace

    names = ["[UNK]", "[CLS]", "[SEP]", *(f"w{i}" for i in range(3, entries))]
    tokenizer = Tokenizer(WordLevel({n: i for i, n in enumerate(names)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    assert ids_of(tokenizer) == entries
    stream = read_tokens([f"w3 w{entries - 1}"], tokenizer)
    assert stream.tokens.dtype == np.dtype(f"uint{bits}")
    assert stream.batch([0], 4).tolist() == [[1, 3, entries - 1, 2]]


def test_windows_hold_a_token() -> None:
    stream = TokenStream(tokens=np.arange(10, dtype=np.uint16), cls_id=2, sep_id=3)
    with pytest.raises(InputError, match="at least 3 tokens"):
        stream.windows(2)
