"""Shards on disk, against the arrays they were made of."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetfit import SurroundingsError
from supernet.shards import Shard, ShardedIds, ShardRecord, load_shard, save_shard

RECORD = ShardRecord(source="text", tokenizer="words", first=7, pieces=3, last=True)


def shard(tokens: int = 20, *, dtype: type = np.uint16) -> Shard:
    ends = np.array([2, 5], dtype=np.uint32)
    return Shard(record=RECORD, tokens=np.arange(tokens, dtype=dtype), ends=ends)


@pytest.mark.parametrize("dtype", [np.uint16, np.uint32])
@pytest.mark.parametrize("tokens", [0, 20])
def test_a_shard_comes_back_as_a_map(tmp_path: Path, dtype: type, tokens: int) -> None:
    written = shard(tokens, dtype=dtype)
    save_shard(tmp_path, 4, written)
    found = load_shard(tmp_path, 4, RECORD)
    assert found is not None
    assert found.tokens.dtype == dtype
    assert isinstance(found.tokens, np.memmap)
    assert found.tokens.tolist() == written.tokens.tolist()
    assert found.ends.tolist() == [2, 5]
    assert (found.record.first, found.record.pieces, found.record.last) == (7, 3, True)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-3])


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))


@pytest.mark.parametrize("damage", [truncate, flip, Path.unlink])
@pytest.mark.parametrize("file", ["00000.tokens.npy", "00000.ends.npy", "00000.json"])
def test_a_damaged_shard_is_as_none(tmp_path: Path, file: str, damage: object) -> None:
    save_shard(tmp_path, 0, shard())
    assert load_shard(tmp_path, 0, RECORD) is not None
    damage(tmp_path / file)  # type: ignore[operator]
    assert load_shard(tmp_path, 0, RECORD) is None


@pytest.mark.parametrize("change", [{"source": "x"}, {"tokenizer": "x"}, {"first": 6}])
def test_a_shard_of_other_things_is_as_none(tmp_path: Path, change: dict[str, object]) -> None:
    save_shard(tmp_path, 0, shard())
    wanted = {"source": "text", "tokenizer": "words", "first": 7} | change
    like = ShardRecord(**wanted, pieces=0, last=False)  # type: ignore[arg-type]
    assert load_shard(tmp_path, 0, like) is None


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "file"
    folder.write_text("")
    with pytest.raises(SurroundingsError, match=r"file.* must be writable"):
        save_shard(folder, 0, shard())


@given(
    sizes=st.lists(st.integers(0, 9), min_size=1, max_size=6).filter(any),
    seed=st.integers(0, 99),
)
def test_shards_are_indexed_like_one_array(sizes: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    parts = [rng.integers(0, 2**16, size, dtype=np.uint16) for size in sizes]
    one, many = np.concatenate(parts), ShardedIds(parts)
    places = rng.integers(len(one), size=(3, 4))
    start, stop = sorted(rng.integers(len(one) + 2, size=2).tolist())
    assert len(many) == len(one)
    assert many.dtype == one.dtype
    assert np.array_equal(many[places], one[places])
    assert np.array_equal(many[start:stop], one[start:stop])
    assert np.array_equal(np.asarray(many), one)
    with pytest.raises(IndexError):
        many[np.array([len(one)])]
