from __future__ import annotations

import os
from pathlib import Path

import pytest

from devices import machine_lock, scratch_directory
from devices.lock_file import PLACE
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
        pytest.raises(SurroundingsError, match="ask for write access"),
        machine_lock("a survey", path=tmp_path / "absent" / "lock"),
    ):
        pass


def test_the_place_of_the_lock_is_the_machine_s(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "lock"
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    # Somebody may be measuring: the machine's lock itself is left alone.
    monkeypatch.setattr("devices.lock.PLACE", PLACE)
    monkeypatch.setattr("devices.lock.open_lock", lambda _: os.open(own, os.O_RDWR | os.O_CREAT))
    monkeypatch.setattr("devices.lock.wait_for_trainings", lambda lock, timeout_s: None)
    with machine_lock("a survey") as lock:
        assert lock == Path("/tmp/fleetfit-measuring.lock")


def test_other_users_may_take_the_lock_too(tmp_path: Path) -> None:
    with machine_lock("a survey", path=tmp_path / "lock") as lock:
        assert lock.stat().st_mode & 0o777 == 0o666


def test_scratch_is_removed_and_so_is_what_a_killed_holder_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    left = tmp_path / "lock-left"
    left.mkdir()
    (left / "model.onnx").write_bytes(b"x")
    with machine_lock("a survey", path=tmp_path / "lock") as lock, scratch_directory(lock) as place:
        assert not left.exists()
        (place / "file").write_bytes(b"x")
    assert not place.exists()
    assert [p.name for p in tmp_path.iterdir()] == ["lock"]
