from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from devices import read_memory, reset_peak, run_isolated
from devices.memory import parse_kib
from fleetfit import SurroundingsError

MIB = 2**20


def test_peak_follows_an_allocation_and_resets() -> None:
    reset = reset_peak()
    before = read_memory()
    block = np.ones(64 * MIB // 8)
    peak = read_memory().peak_bytes
    assert peak >= before.resident_bytes + 60 * MIB
    del block
    if reset:
        reset_peak()
        assert read_memory().peak_bytes < peak


def test_a_child_does_not_inherit_the_peak_of_its_parent(children: None) -> None:
    # ru_maxrss would report the parent's 300 MiB here.
    block = np.ones(300 * MIB // 8)
    child = run_isolated("sample_child", {"do": "memory"}, timeout_s=30)
    assert block[-1] == 1
    assert child["peak_bytes"] < 200 * MIB


def test_a_system_without_the_peak_is_named(tmp_path: Path) -> None:
    (tmp_path / "status").write_text("VmRSS:\t 10 kB\n")
    with pytest.raises(SurroundingsError, match="VmHWM"):
        read_memory(folder=tmp_path)
    assert not reset_peak(folder=tmp_path / "absent")


def test_lines_are_in_kib() -> None:
    assert parse_kib("VmHWM:\t  12 kB\nPss:   3 kB\n", "Pss") == 3072
    assert parse_kib("VmHWM: x kB", "VmHWM") is None
