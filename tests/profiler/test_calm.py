"""Waiting for calm, with readings in the place of the machine's, on a clock that waits move."""

from __future__ import annotations

import pytest

from fleetfit import Health
from profiler.calm import Calm
from profiler.protocol import DisturbanceLimits

BUSY, QUIET = Health(other_load=1.0, steal=0.0), Health(other_load=0.01, steal=0.0)


class Machine:
    """Busy until a time."""

    def __init__(self, busy_until_s: float) -> None:
        self.now_s = 0.0
        self._until = busy_until_s

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds

    def read(self) -> Health:
        return BUSY if self.now_s < self._until else QUIET


def calm_on(machine: Machine, monkeypatch: pytest.MonkeyPatch, wait_s: float) -> Calm:
    monkeypatch.setattr("profiler.calm.HealthMeter", lambda: machine)
    monkeypatch.setattr("profiler.calm.time", machine)
    return Calm(DisturbanceLimits(), cores=2, look_s=0.25, wait_s=wait_s)


def test_a_calm_machine_is_looked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(0)
    assert calm_on(machine, monkeypatch, 60).wait(pytest.fail)
    assert machine.now_s == 0.25


def test_it_waits_until_others_are_done_and_says_for_what(monkeypatch: pytest.MonkeyPatch) -> None:
    machine, notes = Machine(20), list[str]()
    assert calm_on(machine, monkeypatch, 60).wait(notes.append)
    assert 20 <= machine.now_s < 22
    assert set(notes) == {
        "waiting for calm: other processes use 1.0 cores, the hypervisor takes 0%"
    }


def test_all_waits_together_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(1e9)
    calm = calm_on(machine, monkeypatch, 10)
    assert not calm.wait(lambda note: None, at_most_s=4)
    assert machine.now_s <= 6
    assert not calm.wait(lambda note: None)
    assert machine.now_s <= 13
    before = machine.now_s
    assert not calm.wait(pytest.fail)
    assert machine.now_s == before + 0.25
