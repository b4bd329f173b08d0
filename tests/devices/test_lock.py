from __future__ import annotations

import os
from pathlib import Path

import pytest

from devices import machine_lock, scratch_directory
from fleetfit import SurroundingsError


def test_a_second_is_refused_with_the_name_of_the_first(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with machine_lock("a survey", path=path):  # noqa: SIM117
        with pytest.raises(SurroundingsError, match=rf"a survey \(process {os.getpid()}\)"):
            with machine_lock("another", timeout_s=0.15, path=path):
                pass
    with machine_lock("another", timeout_s=0, path=path):
        pass


def test_the_lock_is_free_after_an_error(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with pytest.raises(KeyError), machine_lock("a survey", path=path):
        raise KeyError
    with machine_lock("another", timeout_s=0, path=path):
        pass


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    with (
        pytest.raises(SurroundingsError, match="TMPDIR"),
        machine_lock("a survey", path=tmp_path / "absent" / "lock"),
    ):
        pass


def test_scratch_is_removed_and_so_is_what_a_killed_holder_left(tmp_path: Path) -> None:
    left = tmp_path / "lock-left"
    left.mkdir()
    (left / "model.onnx").write_bytes(b"x")
    with machine_lock("a survey", path=tmp_path / "lock") as lock, scratch_directory(lock) as place:
        assert not left.exists()
        (place / "file").write_bytes(b"x")
    assert not place.exists()
    assert [p.name for p in tmp_path.iterdir()] == ["lock"]
