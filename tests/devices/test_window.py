from __future__ import annotations

import itertools
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices import WindowMeter, WindowReading
from devices.own import OwnUse, own_use
from devices.window import Ticks, parse_ticks, parse_waited


class Machine:
    """A /proc with counters, and a process of its own, moved on by hand."""

    def __init__(self, proc: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.proc, self.at_s, self.own = proc, 100.0, OwnUse(cpu_s=5.0, switches=7)
        (proc / "pressure").mkdir()
        monkeypatch.setattr("devices.window.time.monotonic", lambda: self.at_s)
        monkeypatch.setattr("devices.window.own_use", lambda: self.own)

    def show(self, stat: str, waited_us: int = 0) -> None:
        (self.proc / "stat").write_text(f"cpu  {stat}\ncpu0 1 2 3\n")
        text = f"some avg10=0.00 avg60=0.00 avg300=0.00 total={waited_us}\nfull avg10=0 total=9\n"
        (self.proc / "pressure/cpu").write_text(text)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(tmp_path, monkeypatch)


def test_all_four_since_the_reading_before(machine: Machine) -> None:
    machine.show("1000 100 200 5000 50 0 0 10 0 0", waited_us=1_000_000)
    meter = WindowMeter(proc=machine.proc)
    machine.at_s += 2.0
    machine.own = OwnUse(cpu_s=6.5, switches=12)
    # busy 200 ticks (user 150, nice 10, system 20, irq 5, softirq 15) = 2 s, 1.5 s of them ours
    machine.show("1150 110 220 5150 60 5 15 50 0 0", waited_us=1_500_000)
    reading = meter.read()
    assert reading.other_load == pytest.approx((2.0 - 1.5) / 2.0)
    assert reading.steal == pytest.approx(40 / 400)
    assert reading.waiting == pytest.approx(0.25)
    assert reading.switches == 5


def test_a_reading_begins_where_the_one_before_ended(machine: Machine) -> None:
    machine.show("0 0 0 100 0 0 0 0")
    meter = WindowMeter(proc=machine.proc)
    machine.at_s += 1
    machine.show("100 0 0 100 0 0 0 0")
    assert meter.read().other_load == pytest.approx(1.0)
    machine.at_s += 1
    machine.show("100 0 0 200 0 0 0 0")
    assert meter.read().other_load == 0.0


def test_idle_waiting_for_disks_and_steal_are_no_load(machine: Machine) -> None:
    machine.show("0 0 0 0 0 0 0 0")
    meter = WindowMeter(proc=machine.proc)
    machine.at_s += 1
    machine.show("0 0 0 100 100 0 0 100")
    assert meter.read().other_load == 0.0


def test_other_load_is_never_negative(machine: Machine) -> None:
    machine.show("0 0 0 0 0 0 0 0")
    meter = WindowMeter(proc=machine.proc)
    machine.at_s += 1
    machine.own = OwnUse(cpu_s=6.0, switches=7)  # counted more finely than the machine's ticks
    machine.show("99 0 0 1 0 0 0 0")
    assert meter.read().other_load == 0.0


def test_no_time_no_reading(machine: Machine) -> None:
    machine.show("0 0 0 0 0 0 0 0")
    meter = WindowMeter(proc=machine.proc)
    assert meter.read() == WindowReading()


def test_counters_that_stand_still_say_nothing(machine: Machine) -> None:
    machine.show("0 0 0 0 0 0 0 0")  # as some sandboxes show
    meter = WindowMeter(proc=machine.proc)
    machine.at_s += 1
    reading = meter.read()
    assert (reading.other_load, reading.steal) == (None, None)


def test_a_system_without_the_files_gives_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("devices.window.own_use", lambda: None)
    clock = itertools.count(1)
    monkeypatch.setattr("devices.window.time.monotonic", lambda: float(next(clock)))
    assert WindowMeter(proc=tmp_path).read() == WindowReading()


def test_own_time_is_what_psutil_says_ended_children_included() -> None:
    subprocess.run([sys.executable, "-c", "sum(range(3_000_000))"], check=True)
    times, own = psutil.Process().cpu_times(), own_use()
    assert own is not None
    told_s = times.user + times.system + times.children_user + times.children_system
    assert times.children_user > 0
    assert own.cpu_s == pytest.approx(told_s, abs=0.1)


def test_guest_time_is_not_counted_twice() -> None:
    assert parse_ticks("cpu 10 0 0 0 0 0 0 5 10 0") == Ticks(total=15, busy=10, stolen=5)


def test_total_of_pressure_is_in_seconds() -> None:
    assert parse_waited("some avg10=0.00 avg60=0.00 avg300=0.00 total=2500000\n") == 2.5
    assert parse_waited("full avg10=0.00 avg60=0.00 avg300=0.00 total=2500000\n") is None


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    assert parse_ticks(text) is None or text.split()[0] == "cpu"
    assert parse_waited(text) is None or "some" in text


@given(st.lists(st.integers(0, 10**12), min_size=8, max_size=10))
def test_ticks_add_up(fields: list[int]) -> None:
    ticks = parse_ticks("cpu  " + " ".join(map(str, fields)) + "\ncpu0 1\n")
    assert ticks is not None
    assert ticks.total == sum(fields[:8])
    assert ticks.busy + ticks.stolen + fields[3] + fields[4] == ticks.total
