"""What would disturb a measurement on this machine now."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from devices.busy import Used, busiest, cpu_times
from devices.cgroup import cpu_quota, throttled_periods
from devices.clocks import clock_rows, throttle_count
from devices.disturbance import Disturbance, graded
from devices.gpu_rows import gpu_rows
from devices.health import HealthMeter
from devices.pseudo_files import read_or_empty
from devices.window import WindowMeter, WindowReading

__all__ = ["disturbances"]

_PROC: Final = Path("/proc")
_SYS: Final = Path("/sys")
_LOOK_S: Final = 0.5


def disturbances(
    *, proc: Path = _PROC, sys_root: Path = _SYS, wait: Callable[[float], None] = time.sleep
) -> tuple[Disturbance, ...]:
    """Everything that was looked at, whether it matters or not; takes half a second.

    ``wait`` passes the time between two readings of the counters.
    """
    meter = WindowMeter(proc=proc)
    before = _Counters.read(proc, sys_root)
    wait(_LOOK_S)
    window, now = meter.read(), _Counters.read(proc, sys_root)
    return (
        _other_load(window, before, now),
        _steal(window),
        _waiting(window),
        _load(HealthMeter(proc=proc).read().load_1m),
        _swap(proc, _grown(before.swaps, now.swaps)),
        _quota(proc, sys_root, _grown(before.periods, now.periods)),
        *clock_rows(sys_root, throttled=_grown(before.throttles, now.throttles)),
        *gpu_rows(proc),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Counters:
    """Counters at one moment; what the system does not give is None."""

    at_s: float
    times: Mapping[int, Used]
    swaps: int | None
    throttles: int | None
    periods: int | None

    @classmethod
    def read(cls, proc: Path, sys_root: Path) -> _Counters:
        return cls(
            at_s=time.monotonic(),
            times=cpu_times(proc),
            swaps=_pages_swapped(proc),
            throttles=throttle_count(sys_root),
            periods=throttled_periods(proc, sys_root),
        )


def _grown(before: int | None, now: int | None) -> int | None:
    return None if before is None or now is None else max(0, now - before)


def _other_load(window: WindowReading, before: _Counters, now: _Counters) -> Disturbance:
    what = "other processes"
    if window.other_load is None:
        return Disturbance(what=what, found="not visible", matters="unknown")
    top = busiest(before.times, now.times, now.at_s - before.at_s)
    named = ", ".join(f"{name} ({pid}) {share:.2f}" for name, pid, share in top)
    matters = graded(window.other_load, 0.1, 0.5)
    return Disturbance(
        what=what,
        found=f"use {window.other_load:.2f} cores" + (f": {named}" if named else ""),
        matters=matters,
        advice="" if matters == "ok" else "stop them, or measure when they are done",
    )


def _steal(window: WindowReading) -> Disturbance:
    what = "steal"
    if window.steal is None:
        return Disturbance(what=what, found="not visible", matters="unknown")
    matters = graded(window.steal, 0.002, 0.01)
    return Disturbance(
        what=what,
        found=f"the hypervisor took {window.steal:.1%} of the time",
        matters=matters,
        advice="" if matters == "ok" else "measure later, or on a machine with cores of its own",
    )


def _waiting(window: WindowReading) -> Disturbance:
    what = "waiting (PSI)"
    if window.waiting is None:
        return Disturbance(what=what, found="not visible: PSI is off", matters="unknown")
    matters = graded(window.waiting, 0.01, 0.1)
    return Disturbance(
        what=what,
        found=f"something waited for a processor {window.waiting:.1%} of the time",
        matters=matters,
        advice="" if matters == "ok" else "more wants to run than there are cores: stop some",
    )


def _load(load_1m: float | None) -> Disturbance:
    what = "load average"
    if load_1m is None:
        return Disturbance(what=what, found="not visible", matters="unknown")
    calm = load_1m < 0.5
    return Disturbance(
        what=what,
        found=f"{load_1m:.2f} over the last minute",
        matters="ok" if calm else "may disturb",
        advice="" if calm else "if it comes from work that goes on, wait for its end",
    )


def _pages_swapped(proc: Path) -> int | None:
    words = [line.split() for line in read_or_empty(proc / "vmstat").splitlines()]
    found = [int(w[1]) for w in words if len(w) == 2 and w[0] in ("pswpin", "pswpout")]
    return sum(found) if found else None


def _swap(proc: Path, pages: int | None) -> Disturbance:
    what, fields = "swap", dict[str, int]()
    for line in read_or_empty(proc / "meminfo").splitlines():
        name, _, rest = line.partition(":")
        number = rest.split()[:1]
        if number and number[0].isdecimal():
            fields[name] = int(number[0]) * 1024
    if "SwapTotal" not in fields or "SwapFree" not in fields:
        return Disturbance(what=what, found="not visible", matters="unknown")
    used = fields["SwapTotal"] - fields["SwapFree"]
    if pages:
        return Disturbance(
            what=what,
            found=f"{pages} pages moved in {_LOOK_S} s, {used / 2**20:.0f} MiB in use",
            matters="disturbs",
            advice="free memory: something is larger than it",
        )
    if used <= 0:
        return Disturbance(what=what, found="none in use", matters="ok")
    return Disturbance(
        what=what,
        found=f"{used / 2**20:.0f} MiB in use, nothing moves now",
        matters="may disturb",
        advice="free memory, if a measurement is to load large models",
    )


def _quota(proc: Path, sys_root: Path, throttled: int | None) -> Disturbance:
    what, quota = "processor quota", cpu_quota(proc, sys_root)
    if quota is None:
        return Disturbance(what=what, found="none", matters="ok")
    cores = os.cpu_count() or 1
    found = f"{quota:g} cores of {cores}"
    if throttled:
        return Disturbance(
            what=what,
            found=f"{found}, used up {throttled} times in {_LOOK_S} s",
            matters="disturbs",
            advice="raise the limit of the container, or run less beside in it",
        )
    if quota >= cores:
        return Disturbance(what=what, found=found, matters="ok")
    return Disturbance(
        what=what,
        found=found,
        matters="may disturb",
        advice=f"keep to --threads {max(1, int(quota))}, or pin the container to whole cores",
    )
