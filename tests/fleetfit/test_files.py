"""Files are written whole or not at all, on a full disk too."""

from __future__ import annotations

import errno
import hashlib
import os
from pathlib import Path
from typing import Any, NoReturn

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetfit import InputError, SurroundingsError
from fleetfit.files import check_new, new_directory, read_text, sha256_of, write_bytes, write_text


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def full_disk(*args: Any, **kwargs: Any) -> NoReturn:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@given(data=st.binary())
def test_bytes_come_back(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "deep" / "file.bin"
    write_bytes(path, data)
    assert path.read_bytes() == data
    assert sha256_of(path) == hashlib.sha256(data).hexdigest()
    assert names(path.parent) == ["file.bin"]


@given(text=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\ufeff")))
def test_text_comes_back(tmp_path: Path, text: str) -> None:
    write_text(tmp_path / "file.txt", text)
    assert read_text(tmp_path / "file.txt", "A note") == text


@pytest.mark.parametrize("step", ["fsync", "replace", "mkstemp"])
def test_a_full_disk_leaves_the_earlier_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    path = tmp_path / "store.json"
    write_text(path, "earlier")
    owner = {"fsync": "os", "replace": "pathlib.Path", "mkstemp": "tempfile"}[step]
    monkeypatch.setattr(f"{owner}.{step}", full_disk)
    with pytest.raises(SurroundingsError, match=r"store.json must be writable.*No space left"):
        write_text(path, "later")
    assert path.read_text() == "earlier"
    assert names(tmp_path) == ["store.json"]


def test_an_interrupt_while_writing_leaves_the_earlier_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*args: object) -> NoReturn:
        raise KeyboardInterrupt

    write_text(tmp_path / "a", "earlier")
    monkeypatch.setattr("os.fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_text(tmp_path / "a", "later")
    assert (tmp_path / "a").read_text() == "earlier"
    assert names(tmp_path) == ["a"]


def test_what_is_not_flushed_is_whole_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.fsync", full_disk)
    write_bytes(tmp_path / "a", b"one", flush=False)
    assert names(tmp_path) == ["a"]
    monkeypatch.setattr("os.fdopen", full_disk)
    with pytest.raises(SurroundingsError, match="No space left"):
        write_bytes(tmp_path / "a", b"two", flush=False)
    assert (tmp_path / "a").read_bytes() == b"one"
    assert names(tmp_path) == ["a"]


def test_a_place_that_cannot_hold_files_is_named(tmp_path: Path) -> None:
    write_text(tmp_path / "file", "")
    with pytest.raises(SurroundingsError, match="must be writable"):
        write_text(tmp_path / "file" / "inside", "text")


def test_the_mode_follows_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_text(tmp_path / "file", "text")
    finally:
        os.umask(before)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("exists", [True, False])
def test_a_directory_takes_its_name_when_the_block_ends(tmp_path: Path, exists: bool) -> None:
    path = tmp_path / "deep" / "bundle"
    if exists:
        path.mkdir(parents=True)
    with new_directory(path) as inside:
        write_text(inside / "manifest.json", "{}")
        assert not (path / "manifest.json").exists()
    assert names(path) == ["manifest.json"]
    assert names(path.parent) == ["bundle"]


@pytest.mark.parametrize("raised", [ValueError("a bug"), KeyboardInterrupt()])
def test_a_block_that_fails_leaves_nothing(tmp_path: Path, raised: BaseException) -> None:
    def fill() -> None:
        with new_directory(tmp_path / "bundle") as inside:
            write_text(inside / "manifest.json", "{}")
            raise raised

    with pytest.raises(type(raised)):
        fill()
    assert names(tmp_path) == []


@pytest.mark.parametrize("step", ["pathlib.Path.mkdir", "pathlib.Path.replace", "tempfile.mkdtemp"])
def test_a_full_disk_leaves_no_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def fill() -> None:
        with new_directory(tmp_path / "bundle"):
            pass

    monkeypatch.setattr(step, full_disk)
    with pytest.raises(SurroundingsError, match="No space left"):
        fill()
    monkeypatch.undo()
    assert names(tmp_path) == []


def test_a_directory_that_holds_something_is_not_replaced(tmp_path: Path) -> None:
    write_text(tmp_path / "bundle" / "old", "old")
    for path in (tmp_path / "bundle", tmp_path / "bundle" / "old"):
        with (
            pytest.raises(InputError, match="must be a new or empty directory"),
            new_directory(path),
        ):
            pytest.fail("the block must not run")
    assert read_text(tmp_path / "bundle" / "old", "A note") == "old"


def test_a_new_place_is_checked_and_left_alone(tmp_path: Path) -> None:
    write_text(tmp_path / "full" / "old", "old")
    (tmp_path / "empty").mkdir()
    taken = {"not empty": tmp_path / "full", "a file": tmp_path / "full" / "old"}
    for why, path in taken.items():
        with pytest.raises(InputError, match=f"must be a new or empty directory, but is {why};"):
            check_new(path)
    with pytest.raises(InputError, match="old is a file"):
        check_new(tmp_path / "full" / "old" / "deep" / "inside")
    check_new(tmp_path / "empty")
    check_new(tmp_path / "deep" / "absent")
    assert names(tmp_path) == ["empty", "full"]


def test_what_a_rename_cannot_replace_is_refused_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("here", "mount", "target"):
        (tmp_path / name).mkdir()
    (tmp_path / "link").symlink_to("target")
    (tmp_path / "dangling").symlink_to("absent")
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setattr(Path, "is_mount", lambda path: path.name == "mount")
    refused = {
        ".": "the current one",
        "../here": "the current one",
        "../mount": "a mount point",
        "../link": "a link",
        "../dangling": "a link",
    }
    for name, why in refused.items():
        with pytest.raises(InputError, match=f"must be a new or empty directory, but is {why};"):
            check_new(Path(name))
    check_new(tmp_path / "target")


def test_a_folder_that_takes_no_new_directory_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.access", lambda path, mode: Path(path) != tmp_path)
    with pytest.raises(InputError, match=rf"but {tmp_path} is not writable"):
        check_new(tmp_path / "deep" / "new")


def test_reading_names_what_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="The store must be an existing file"):
        read_text(tmp_path / "absent", "The store")
    (tmp_path / "binary").write_bytes(b"\x80\x00\xff")
    with pytest.raises(InputError, match="The corpus must be UTF-8 text"):
        read_text(tmp_path / "binary", "The corpus")
    with pytest.raises(InputError, match="The corpus must be readable"):
        read_text(tmp_path, "The corpus")


def test_a_byte_order_mark_is_not_part_of_the_text(tmp_path: Path) -> None:
    (tmp_path / "bom").write_bytes(b"\xef\xbb\xbftext")
    assert read_text(tmp_path / "bom", "A note") == "text"
