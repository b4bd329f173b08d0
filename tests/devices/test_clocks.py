from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.clocks import clock_rows, parse_cpus, throttle_count
from devices.disturbance import Disturbance
from tests.devices.trees import write

CPU = "devices/system/cpu"


@pytest.fixture(autouse=True)
def usable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1})


def row(sys_root: Path, what: str, *, throttled: int | None = None) -> Disturbance:
    (found,) = [r for r in clock_rows(sys_root, throttled=throttled) if what in r.what]
    return found


@pytest.mark.parametrize("what", ["governor", "boost", "SMT", "heat"])
def test_what_the_system_does_not_show_is_unknown(tmp_path: Path, what: str) -> None:
    found = row(tmp_path, what)
    assert (found.matters, found.advice) == ("unknown", "")
    assert "not visible" in found.found


@pytest.mark.parametrize(
    ("governors", "matters"),
    [
        (("performance", "performance"), "ok"),
        (("performance", "powersave"), "may disturb"),
        (("schedutil", "schedutil"), "may disturb"),
    ],
)
def test_governor(tmp_path: Path, governors: tuple[str, str], matters: str) -> None:
    files = {f"{CPU}/cpu{i}/cpufreq/scaling_governor": f"{g}\n" for i, g in enumerate(governors)}
    other = {f"{CPU}/cpu7/cpufreq/scaling_governor": "ondemand\n"}  # not one that we may use
    found = row(write(tmp_path, files | other), "governor")
    assert found.matters == matters
    assert found.found == ", ".join(sorted(set(governors)))


@pytest.mark.parametrize(
    ("file", "text", "matters"),
    [
        ("cpufreq/boost", "1", "may disturb"),
        ("cpufreq/boost", "0", "ok"),
        ("intel_pstate/no_turbo", "0", "may disturb"),
        ("intel_pstate/no_turbo", "1", "ok"),
    ],
)
def test_boost(tmp_path: Path, file: str, text: str, matters: str) -> None:
    assert row(write(tmp_path, {f"{CPU}/{file}": text}), "boost").matters == matters


def test_hardware_threads_of_one_core(tmp_path: Path) -> None:
    files = {f"{CPU}/cpu{i}/topology/thread_siblings_list": "0-1\n" for i in (0, 1)}
    found = row(write(tmp_path, files), "SMT")
    assert found.matters == "may disturb"
    assert found.found.startswith("1 of 1 cores")
    assert "--threads 1 " in found.advice


def test_a_sibling_that_others_use_counts_too(tmp_path: Path) -> None:
    files = {f"{CPU}/cpu{i}/topology/thread_siblings_list": f"{i},{i + 4}\n" for i in (0, 1)}
    assert row(write(tmp_path, files), "SMT").found.startswith("2 of 2 cores")


def test_cores_of_their_own(tmp_path: Path) -> None:
    files = {f"{CPU}/cpu{i}/topology/thread_siblings_list": f"{i}\n" for i in (0, 1)}
    assert row(write(tmp_path, files), "SMT").matters == "ok"


def heat(tmp_path: Path, temperature: int, throttles: int = 0) -> Path:
    zone = "class/thermal/thermal_zone0"
    files = {
        f"{zone}/type": "x86_pkg_temp",
        f"{zone}/temp": str(temperature),
        f"{zone}/trip_point_0_type": "critical",
        f"{zone}/trip_point_0_temp": "40000",
        f"{zone}/trip_point_1_type": "passive",
        f"{zone}/trip_point_1_temp": "95000",
        f"{CPU}/cpu0/thermal_throttle/core_throttle_count": str(throttles),
        f"{CPU}/cpu0/thermal_throttle/package_throttle_count": "0",
    }
    return write(tmp_path, files)


def test_cool(tmp_path: Path) -> None:
    assert row(heat(tmp_path, 60_000), "heat", throttled=0).matters == "ok"


def test_a_zone_above_its_passive_point(tmp_path: Path) -> None:
    found = row(heat(tmp_path, 96_000), "heat", throttled=0)
    assert found.matters == "disturbs"
    assert found.found == "x86_pkg_temp at 96 °C, slowed down from 95 °C"


def test_throttling_meanwhile_and_before(tmp_path: Path) -> None:
    root = heat(tmp_path, 60_000, throttles=7)
    assert throttle_count(root) == 7
    assert row(root, "heat", throttled=2).matters == "disturbs"
    before = row(root, "heat", throttled=0)
    assert (before.matters, "7 times" in before.found) == ("may disturb", True)


def supply(tmp_path: Path, **texts: str) -> Path:
    return write(tmp_path, {f"class/power_supply/BAT0/{k}": v for k, v in texts.items()})


def test_battery(tmp_path: Path) -> None:
    assert row(tmp_path, "battery").found == "none"
    running = supply(tmp_path, type="Battery\n", status="Discharging\n")
    assert row(running, "battery").matters == "disturbs"
    assert row(supply(tmp_path, status="Charging"), "battery").matters == "ok"


def test_the_battery_of_a_mouse_is_nothing(tmp_path: Path) -> None:
    root = supply(tmp_path, type="Battery", status="Discharging", scope="Device")
    assert row(root, "battery").found == "none"


@pytest.mark.parametrize(
    ("text", "cpus"),
    [
        ("0-3,8", (0, 1, 2, 3, 8)),
        ("5", (5,)),
        ("", ()),
        ("x", ()),
        ("1-", (1,)),
        ("0-9999999", ()),
    ],
)
def test_lists_of_processors(text: str, cpus: tuple[int, ...]) -> None:
    assert parse_cpus(text) == cpus


@given(st.text("0123456789-, x"))
def test_any_list_is_read_or_refused(text: str) -> None:
    found = parse_cpus(text)
    assert list(found) == sorted(set(found))


@given(st.sets(st.integers(0, 1000), min_size=1))
def test_a_list_without_ranges_comes_back(cpus: set[int]) -> None:
    assert parse_cpus(",".join(map(str, cpus))) == tuple(sorted(cpus))
