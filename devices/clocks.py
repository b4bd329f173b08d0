"""What moves the clock of the processor: governor, boost, heat, battery; and shared cores."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from devices.disturbance import Disturbance
from devices.pseudo_files import entries_of, numbered, read_number, read_or_empty

__all__ = ["clock_rows", "parse_cpus", "throttle_count"]

_CPUS: Final = Path("devices/system/cpu")
_NOT_VISIBLE: Final = "not visible (a virtual machine?)"


def clock_rows(sys_root: Path, *, throttled: int | None) -> list[Disturbance]:
    """Of the processors that this process may use; ``throttled``: times during the look."""
    return [
        _governor(sys_root),
        _boost(sys_root),
        _siblings(sys_root),
        _heat(sys_root, throttled),
        _battery(sys_root),
    ]


def throttle_count(sys_root: Path) -> int | None:
    """Times that heat held a clock down since the start, over cores and packages; or None."""
    counts = [
        read_number(cpu / "thermal_throttle" / f"{part}_throttle_count")
        for _, cpu in numbered(sys_root / _CPUS, "cpu")
        for part in ("core", "package")
    ]
    known = [count for count in counts if count is not None]
    return sum(known) if known else None


def _governor(sys_root: Path) -> Disturbance:
    what = "frequency governor"
    paths = [cpu / "cpufreq" / "scaling_governor" for _, cpu in _usable(sys_root)]
    found = sorted({name for path in paths if (name := read_or_empty(path))})
    if not found:
        return Disturbance(what=what, found=_NOT_VISIBLE, matters="unknown")
    if found == ["performance"]:
        return Disturbance(what=what, found="performance", matters="ok")
    return Disturbance(
        what=what,
        found=", ".join(found),
        matters="may disturb",
        advice="fix the clock: sudo cpupower frequency-set -g performance",
    )


def _boost(sys_root: Path) -> Disturbance:
    what = "boost (turbo)"
    boost = read_number(sys_root / _CPUS / "cpufreq" / "boost")
    off = read_number(sys_root / _CPUS / "intel_pstate" / "no_turbo")
    if boost is None and off is None:
        return Disturbance(what=what, found=_NOT_VISIBLE, matters="unknown")
    if not boost and off != 0:
        return Disturbance(what=what, found="off", matters="ok")
    return Disturbance(
        what=what,
        found="on: the clock follows heat and neighbours",
        matters="may disturb",
        advice="switch it off in the firmware or below /sys, unless what serves has it on too",
    )


def _siblings(sys_root: Path) -> Disturbance:
    what = "shared cores (SMT)"
    groups = set()
    for number, cpu in _usable(sys_root):
        told = parse_cpus(read_or_empty(cpu / "topology" / "thread_siblings_list"))
        if told:
            groups.add(tuple(sorted({number, *told})))
    if not groups:
        return Disturbance(what=what, found="not visible", matters="unknown")
    shared = sum(len(group) > 1 for group in groups)
    if not shared:
        return Disturbance(what=what, found="none", matters="ok")
    return Disturbance(
        what=what,
        found=f"{shared} of {len(groups)} cores carry two or more hardware threads",
        matters="may disturb",
        advice=f"use --threads {len(groups)} at most, or switch SMT off",
    )


def _heat(sys_root: Path, throttled: int | None) -> Disturbance:
    what = "heat"
    hot = list(_too_hot(sys_root))
    if throttled or hot:
        return Disturbance(
            what=what,
            found=", ".join(hot) or f"clocks were held down {throttled} times meanwhile",
            matters="disturbs",
            advice="let it cool down, and look to fans and dust",
        )
    before = throttle_count(sys_root)
    if before is None and not entries_of(sys_root / "class" / "thermal"):
        return Disturbance(what=what, found=_NOT_VISIBLE, matters="unknown")
    if before:
        return Disturbance(
            what=what,
            found=f"clocks were held down {before} times since the start, not now",
            matters="may disturb",
            advice="long measurements may heat it up again: look to fans and dust",
        )
    return Disturbance(what=what, found="no throttling", matters="ok")


def _too_hot(sys_root: Path) -> Iterable[str]:
    """Zones at or above the point from which the system slows down."""
    for _, zone in numbered(sys_root / "class" / "thermal", "thermal_zone"):
        now = read_number(zone / "temp")
        limits = [
            read_number(path.with_name(path.name.replace("_type", "_temp")))
            for path in entries_of(zone)
            if path.name.startswith("trip_point_") and read_or_empty(path) == "passive"
        ]
        limit = min((x for x in limits if x is not None and x > 0), default=None)
        if now is not None and limit is not None and now >= limit:
            name = read_or_empty(zone / "type") or zone.name
            yield f"{name} at {now / 1000:.0f} °C, slowed down from {limit / 1000:.0f} °C"


def _battery(sys_root: Path) -> Disturbance:
    what = "battery"
    supplies = entries_of(sys_root / "class" / "power_supply")
    batteries = [s for s in supplies if read_or_empty(s / "type") == "Battery"]
    # Of a mouse or a headset: it says so in its scope.
    own = [s for s in batteries if read_or_empty(s / "scope") != "Device"]
    if not any(read_or_empty(s / "status") == "Discharging" for s in own):
        return Disturbance(what=what, found="charging" if own else "none", matters="ok")
    return Disturbance(
        what=what,
        found="the machine runs on it",
        matters="disturbs",
        advice="plug it in: on battery clocks are lower",
    )


def _usable(sys_root: Path) -> list[tuple[int, Path]]:
    every = list(numbered(sys_root / _CPUS, "cpu"))
    if not sys.platform.startswith("linux"):
        return every
    mine = os.sched_getaffinity(0)
    return [one for one in every if one[0] in mine]


def parse_cpus(text: str) -> tuple[int, ...]:
    """Numbers of a list as in ``0-3,8``; empty where it is none."""
    found: set[int] = set()
    for part in text.split(","):
        first, _, last = part.strip().partition("-")
        if not first.isdecimal() or (last and not last.isdecimal()):
            return ()
        if int(last or first) - int(first) > 100_000:
            return ()
        found |= set(range(int(first), int(last or first) + 1))
    return tuple(sorted(found))
