"""Tokenised text kept on disk, against tokenising each document by itself, and interruptions."""

from __future__ import annotations

import errno
import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleetfit import InputError, SurroundingsError
from supernet.checkpoint import load_tokenizer
from supernet.corpora import Seen, TextFile
from supernet.text import TokenStream
from supernet.token_cache import TokenCache, cache_folder
from tests.supernet.tiny import WORDS, write_tokenizer


@dataclass
class Lines:
    """A source that counts how often it is read, and breaks off where told."""

    texts: list[str]
    breaks_at: int | None = None
    name: str = "lines"
    size: int = 0
    reads: int = 0
    read_on: int = 0

    def digest(self) -> str:
        return "lines-" + "|".join(self.texts)

    def read(self, seen: Seen) -> Iterator[str]:
        self.reads += 1
        for i, text in enumerate(self.texts):
            if i == self.breaks_at:
                raise SurroundingsError("the cable was pulled")
            self.read_on = i + 1
            yield text
        yield ""


def direct(texts: list[str], tokenizer: Any, limit: int | None = None) -> tuple[list[int], ...]:
    """Tokens and ends of documents, by the tokenizer alone."""
    tokens: list[int] = []
    ends: list[int] = []
    for text in [*texts, ""]:
        tokens += tokenizer.encode(text, add_special_tokens=False).ids
        if not text and len(tokens) > (ends[-1] if ends else 0):
            ends.append(len(tokens))
    if limit is not None and limit < len(tokens):
        tokens = tokens[:limit]
        ends = [*(end for end in ends if end < limit), limit]
    return tokens, ends


def content(stream: TokenStream) -> tuple[list[int], ...]:
    assert stream.ends is not None
    return np.asarray(stream.tokens).tolist(), stream.ends.tolist()


@dataclass
class Held(Lines):
    """It stops before its second text until told to go on."""

    begun: threading.Event = field(default_factory=threading.Event)
    told: threading.Event = field(default_factory=threading.Event)

    def read(self, seen: Seen) -> Iterator[str]:
        for i, text in enumerate(super().read(seen)):
            if i == 1:
                self.begun.set()
                assert self.told.wait(60)
            yield text


def refuse(*_: object) -> None:
    raise OSError(errno.ENOSYS, "no locks here")


TEXTS = ["w00 w01 w02", "w03", "", "", "w04 w05 w06 w07 w08 w09 w10", "w11", "", "w12", "w13 w14"]
LINE = st.lists(st.sampled_from(WORDS), max_size=6).map(" ".join)


@settings(max_examples=30)  # each writes some dozen files
@given(
    texts=st.lists(LINE, min_size=1, max_size=12).filter(any),
    more=st.lists(LINE, max_size=4),
    shard=st.integers(1, 12),
    limit=st.none() | st.integers(1, 40),
)
def test_streams_are_those_of_the_tokenizer_alone(
    tmp_path_factory: pytest.TempPathFactory,
    texts: list[str],
    more: list[str],
    shard: int,
    limit: int | None,
) -> None:
    folder = tmp_path_factory.mktemp("cache")
    tokenizer = load_tokenizer(write_tokenizer(folder / "tokenizer.json"))
    cache = TokenCache(folder, tokenizer, shard_tokens=shard)
    wanted = direct([*texts, "", *more], tokenizer, limit)
    for _ in range(2):  # made, then found
        assert content(cache.stream([Lines(texts), Lines(more)], limit=limit)) == wanted
    assert content(cache.stream([Lines(texts)])) == direct(texts, tokenizer)


def test_what_is_kept_is_not_read_again(tmp_path: Path, tokenizer: Any) -> None:
    cache = TokenCache(tmp_path, tokenizer, shard_tokens=4)
    first, again = Lines(TEXTS), Lines(TEXTS)
    made, found = cache.stream([first]), cache.stream([again])
    assert content(made) == content(found) == direct(TEXTS, tokenizer)
    assert (first.reads, again.reads) == (1, 0)
    for length in (4, 6):  # also where a window lies in several shards
        rows = np.arange(found.windows(length))
        one = TokenStream(tokens=np.asarray(made.tokens), cls_id=2, sep_id=3, ends=made.ends)
        assert np.array_equal(found.batch(rows, length), one.batch(rows, length))


def test_a_limit_tokenises_no_more_than_its_shards(tmp_path: Path, tokenizer: Any) -> None:
    texts = ["w00 w01 w02"] * 4000
    cache = TokenCache(tmp_path, tokenizer, shard_tokens=6)
    source, second = Lines(texts), Lines(["w01"])
    assert content(cache.stream([source, second], limit=7))[0] == [5, 6, 7, 5, 6, 7, 5]
    assert source.read_on <= 1000  # one batch of the tokenizer
    assert second.reads == 0
    assert len(list(tmp_path.rglob("*.tokens.npy"))) == 2


def test_it_goes_on_behind_the_last_whole_shard(tmp_path: Path, tokenizer: Any) -> None:
    texts = [f"w{i % 90:02d} w01 w02" for i in range(2000)]
    cache = TokenCache(tmp_path, tokenizer, shard_tokens=600)
    with pytest.raises(SurroundingsError, match="the cable"):
        cache.stream([Lines(texts, breaks_at=1500)])
    kept = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*.tokens.npy")}
    assert len(kept) >= 4
    assert content(cache.stream([Lines(texts)])) == direct(texts, tokenizer)
    assert kept == {p: p.stat().st_mtime_ns for p in kept}


def test_two_that_keep_the_same_text_at_once_do_no_harm(
    tmp_path: Path, tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the file system has no locks."""
    monkeypatch.setattr("fcntl.flock", refuse)

    class Twice(Lines):
        """While it is read, another process reads and keeps all of it."""

        def read(self, seen: Seen) -> Iterator[str]:
            for i, text in enumerate(super().read(seen)):
                if i == 1500:
                    other = TokenCache(tmp_path, tokenizer, shard_tokens=600)
                    assert content(other.stream([Lines(texts)])) == wanted
                yield text

    texts = [f"w{i % 90:02d} w01 w02" for i in range(2000)]
    wanted = direct(texts, tokenizer)
    cache = TokenCache(tmp_path, tokenizer, shard_tokens=600)
    assert content(cache.stream([Twice(texts)])) == wanted
    again = Lines(texts)
    assert content(cache.stream([again])) == wanted
    assert again.reads == 0


@pytest.mark.parametrize("number", [0, 1, 2])
@pytest.mark.parametrize("file", ["tokens.npy", "ends.npy", "json"])
def test_a_damaged_shard_is_made_again(
    tmp_path: Path, tokenizer: Any, number: int, file: str
) -> None:
    cache = TokenCache(tmp_path, tokenizer, shard_tokens=6)
    wanted = content(cache.stream([Lines(TEXTS)]))
    (path,) = tmp_path.rglob(f"0000{number}.{file}")
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert content(cache.stream([Lines(TEXTS)])) == wanted
    assert path.read_bytes() == whole
    again = Lines(TEXTS)
    assert content(cache.stream([again])) == wanted
    assert again.reads == 0


def test_another_text_or_tokenizer_has_another_place(tmp_path: Path, tokenizer: Any) -> None:
    text = tmp_path / "text.txt"
    cache = tmp_path / "cache"

    def tokens(words: Any) -> list[int]:
        return content(TokenCache(cache, words).stream([TextFile(path=text)]))[0]

    text.write_text("w00 w01\n\nw02")
    assert tokens(tokenizer) == [5, 6, 7]
    text.write_text("w00 w01\n\nw03")
    assert tokens(tokenizer) == [5, 6, 8]
    other = load_tokenizer(write_tokenizer(tmp_path / "other.json"))
    other.add_tokens(["w00 w01"])
    assert tokens(other) == [100, 8]
    assert tokens(tokenizer) == [5, 6, 8]
    assert len(list(cache.iterdir())) == 3


def test_a_person_can_read_what_a_folder_holds(tmp_path: Path, tokenizer: Any) -> None:
    TokenCache(tmp_path, tokenizer).stream([Lines(TEXTS)])
    (index,) = tmp_path.rglob("index.json")
    about = json.loads(index.read_text())
    assert (about["version"], about["text"], about["dtype"]) == (1, "lines", "uint16")


def test_progress_is_in_bytes_of_the_file(tmp_path: Path, tokenizer: Any) -> None:
    text = tmp_path / "text.txt"
    text.write_text("w00\n" * 30_000)
    told: list[tuple[int, int, str]] = []
    cache = TokenCache(tmp_path / "cache", tokenizer)
    cache.stream([TextFile(path=text)], progress=lambda *report: told.append(report))
    assert len(told) == 300
    assert {report[1:] for report in told} == {(120_000, "text.txt")}
    assert [report[0] for report in told] == sorted(report[0] for report in told)


@pytest.mark.parametrize("texts", [[], [" "], ["", ""]], ids=["nothing", "space", "blank"])
def test_an_empty_corpus_is_refused(tmp_path: Path, tokenizer: Any, texts: list[str]) -> None:
    with pytest.raises(InputError, match="must hold text"):
        TokenCache(tmp_path, tokenizer).stream([Lines(texts)])


def test_a_cache_that_cannot_be_written_is_refused_before_the_work(
    tmp_path: Path, tokenizer: Any
) -> None:
    taken = tmp_path / "taken"
    taken.write_text("")
    source = Lines(TEXTS)
    with pytest.raises(SurroundingsError, match=r"taken.* must be writable"):
        TokenCache(taken, tokenizer).stream([source])
    assert source.reads == 0


def test_the_folder_follows_the_environment(tmp_path: Path) -> None:
    home = Path.home() / ".cache" / "fleetfit" / "tokens"
    assert cache_folder({"FLEETFIT_CACHE": "a/b", "XDG_CACHE_HOME": "/x"}) == Path("a/b")
    assert cache_folder({"XDG_CACHE_HOME": str(tmp_path)}) == tmp_path / "fleetfit" / "tokens"
    assert cache_folder({"XDG_CACHE_HOME": "relative"}) == home
    assert cache_folder({}) == home


def test_a_second_run_waits_for_the_shards_of_the_first(tmp_path: Path, tokenizer: Any) -> None:
    """As the processes of torchrun: one tokenises, the others read what it wrote."""
    first, second = Held(TEXTS), Lines(TEXTS)
    one, other = (TokenCache(tmp_path, tokenizer, shard_tokens=4) for _ in range(2))
    with ThreadPoolExecutor(2) as pool:
        ours = pool.submit(one.stream, [first])
        assert first.begun.wait(60)
        theirs = pool.submit(other.stream, [second])
        time.sleep(0.1)
        assert not theirs.done()
        assert second.reads == 0
        first.told.set()
        assert content(ours.result(60)) == content(theirs.result(60)) == direct(TEXTS, tokenizer)
    assert second.reads == 0
