from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from devices import Disturbance, disturbances
from devices.own import OwnUse
from fleetfit import dumps, loads
from tests.devices.trees import process, write

CALM = {
    "proc/stat": "cpu  100 0 0 900 0 0 0 0 0 0\n",
    "proc/loadavg": "0.10 0.20 0.30 1/99 1\n",
    "proc/pressure/cpu": "some avg10=0.00 avg60=0.00 avg300=0.00 total=5000\n",
    "proc/meminfo": "MemTotal: 8 kB\nSwapTotal: 2048 kB\nSwapFree: 2048 kB\n",
    "proc/vmstat": "pswpin 5\npswpout 6\npgfault 7\n",
    "proc/7/stat": process("neighbour", 100),
    "proc/self/cgroup": "0::/x\n",
}


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr("devices.window.time.monotonic", lambda: now[0])
    monkeypatch.setattr("devices.window.own_use", lambda: OwnUse(cpu_s=1.0, switches=0))
    monkeypatch.setitem(sys.modules, "pynvml", None)
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    return now


def look(
    tmp_path: Path, clock: list[float], before: Mapping[str, str], after: Mapping[str, str]
) -> dict[str, Disturbance]:
    """What is found where files change meanwhile."""
    write(tmp_path, before)

    def wait(seconds: float) -> None:
        assert seconds == 0.5
        clock[0] += seconds
        write(tmp_path, {"proc/stat": "cpu  100 0 0 1000 0 0 0 0 0 0\n", **after})

    found = disturbances(proc=tmp_path / "proc", sys_root=tmp_path / "sys", wait=wait)
    return {row.what: row for row in found}


def test_a_calm_machine(tmp_path: Path, clock: list[float]) -> None:
    rows = look(tmp_path, clock, CALM, {})
    assert {row.matters for row in rows.values()} == {"ok", "unknown"}
    assert {row.advice for row in rows.values()} == {""}
    assert rows["other processes"].found == "use 0.00 cores"


def test_a_neighbour_is_named(tmp_path: Path, clock: list[float]) -> None:
    busy = {"proc/stat": "cpu  140 0 0 960 0 0 0 0 0 0\n", "proc/7/stat": process("neighbour", 140)}
    row = look(tmp_path, clock, CALM, busy)["other processes"]
    assert (row.found, row.matters) == ("use 0.80 cores: neighbour (7) 0.80", "disturbs")
    assert row.advice


@pytest.mark.parametrize(
    ("what", "changed", "matters", "said"),
    [
        ("steal", {"proc/stat": "cpu  100 0 0 980 0 0 0 20 0 0\n"}, "disturbs", "20.0%"),
        (
            "waiting (PSI)",
            {"proc/pressure/cpu": "some avg10=0 avg60=0 avg300=0 total=30000\n"},
            "may disturb",
            "5.0%",
        ),
        ("load average", {"proc/loadavg": "3.50 2 1 1/9 9"}, "may disturb", "3.50"),
        ("swap", {"proc/vmstat": "pswpin 9\npswpout 8\n"}, "disturbs", "6 pages"),
        ("swap", {"proc/meminfo": "SwapTotal: 4096 kB\nSwapFree: 2048 kB\n"}, "may disturb", "2 M"),
        (
            "heat",
            {"sys/devices/system/cpu/cpu0/thermal_throttle/core_throttle_count": "3"},
            "disturbs",
            "3 times",
        ),
        (
            "processor quota",
            {
                "sys/fs/cgroup/x/cpu.max": "150000 100000",
                "sys/fs/cgroup/x/cpu.stat": "nr_periods 9\nnr_throttled 1\n",
            },
            "may disturb",
            "1.5 cores of 4",
        ),
        (
            "processor quota",
            {
                "sys/fs/cgroup/x/cpu.max": "150000 100000",
                "sys/fs/cgroup/x/cpu.stat": "nr_periods 9\nnr_throttled 4\n",
            },
            "disturbs",
            "used up 3 times",
        ),
        ("processor quota", {"sys/fs/cgroup/x/cpu.max": "400000 100000"}, "ok", "4 cores of 4"),
    ],
)
def test_findings(
    tmp_path: Path,
    clock: list[float],
    what: str,
    changed: Mapping[str, str],
    matters: str,
    said: str,
) -> None:
    before = {
        "sys/devices/system/cpu/cpu0/thermal_throttle/core_throttle_count": "0",
        "sys/fs/cgroup/x/cpu.stat": "nr_throttled 1\n",
    }
    row = look(tmp_path, clock, CALM | before, changed)[what]
    assert row.matters == matters
    assert said in row.found
    assert bool(row.advice) == (matters != "ok")


def test_an_empty_machine_is_unknown_not_calm(tmp_path: Path) -> None:
    found = disturbances(proc=tmp_path, sys_root=tmp_path, wait=lambda seconds: None)
    rows = {row.what: row.matters for row in found}
    for what in ("other processes", "steal", "waiting (PSI)", "load average", "swap"):
        assert rows[what] == "unknown"


def test_this_machine_survives_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    found = disturbances(wait=lambda seconds: None)
    assert loads(tuple[Disturbance, ...], dumps(found)) == found
