from __future__ import annotations

from pathlib import Path

from devices.pseudo_files import entries_of, numbered, read_number, read_or_empty
from tests.devices.trees import write


def test_what_cannot_be_read_is_empty(tmp_path: Path) -> None:
    assert read_or_empty(tmp_path / "absent") == ""
    assert read_or_empty(tmp_path) == ""
    assert read_number(tmp_path / "absent") is None
    assert entries_of(tmp_path / "absent") == []


def test_numbers_and_texts(tmp_path: Path) -> None:
    write(tmp_path, {"a": "12\n", "b": "-3", "c": "twelve\n"})
    assert [read_number(tmp_path / name) for name in "abc"] == [12, -3, None]
    assert read_or_empty(tmp_path / "c") == "twelve"


def test_only_numbered_entries_by_their_number(tmp_path: Path) -> None:
    write(tmp_path, {f"{name}/x": "" for name in ("cpu10", "cpu2", "cpufreq", "cpu", "7")})
    assert [number for number, _ in numbered(tmp_path, "cpu")] == [2, 10]
    assert [path.name for _, path in numbered(tmp_path)] == ["7"]
