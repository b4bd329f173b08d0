from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.busy import Used, busiest, cpu_times, parse_process
from tests.devices.trees import process, write


@given(st.text(), st.integers(0, 10**9))
def test_any_name_is_read(name: str, ticks: int) -> None:
    used = parse_process(process(name, ticks))
    assert used is not None
    assert used.cpu_s == pytest.approx(ticks / 100)
    assert used.name == "".join(c for c in name if c.isprintable())


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    used = parse_process(text)
    assert used is None or used.cpu_s >= 0


def test_every_process_but_this_one(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "12/stat": process("a b) c", 300),
            "13/stat": "nonsense",
            f"{os.getpid()}/stat": process("us", 900),
            "self/stat": process("us", 900),
            "uptime": "1",
        },
    )
    assert cpu_times(tmp_path) == {12: Used(name="a b) c", cpu_s=3.0)}


def test_a_real_process_is_seen() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        found = cpu_times(Path("/proc"))
        assert child.pid in found
        assert os.getpid() not in found


def test_the_busiest_come_first_and_idle_ones_not_at_all() -> None:
    before = {1: Used(name="old", cpu_s=10.0), 2: Used(name="idle", cpu_s=50.0)}
    now = {
        1: Used(name="old", cpu_s=10.2),
        2: Used(name="idle", cpu_s=50.0),
        3: Used(name="new", cpu_s=0.4),
    }
    found = busiest(before, now, 0.5)
    assert [(name, pid) for name, pid, _ in found] == [("new", 3), ("old", 1)]
    assert [share for *_, share in found] == pytest.approx([0.8, 0.4])


def test_a_process_id_that_was_given_again() -> None:
    found = busiest({5: Used(name="a", cpu_s=99.0)}, {5: Used(name="b", cpu_s=0.5)}, 1.0)
    assert found == [("b", 5, 0.5)]


def test_at_most_three() -> None:
    now = {pid: Used(name="p", cpu_s=1.0 + pid) for pid in range(9)}
    assert [pid for _, pid, _ in busiest({}, now, 1.0)] == [8, 7, 6]
