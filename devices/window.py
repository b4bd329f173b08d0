"""What else happened on the machine in a short stretch: steal, other load, waiting, switches."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from devices.own import OwnUse, own_use

__all__ = ["Ticks", "WindowMeter", "WindowReading", "parse_ticks", "parse_waited"]

_PROC: Final = Path("/proc")
_TICK_S: Final = 0.01  # USER_HZ is 100 on every Linux of today
_USER, _NICE, _SYSTEM, _IRQ, _SOFTIRQ, _STEAL = 0, 1, 2, 5, 6, 7
_BUSY: Final = (_USER, _NICE, _SYSTEM, _IRQ, _SOFTIRQ)


@dataclass(frozen=True, kw_only=True, slots=True)
class WindowReading:
    """What happened since the reading before; what the system does not give is None."""

    steal: float | None = None
    """Share of processor time taken by the hypervisor."""
    other_load: float | None = None
    """Cores' worth of processor time that other processes used."""
    waiting: float | None = None
    """Share of the time in which some task of the machine waited for a processor (PSI)."""
    switches: int | None = None
    """Times the kernel took the processor away from this process (involuntary switches)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Ticks:
    """Processor time of the machine since it started, in ticks of 10 ms."""

    total: int
    """Of every kind, idle too."""
    busy: int
    """Spent on work: user, nice, system, interrupts."""
    stolen: int


@dataclass(frozen=True, kw_only=True, slots=True)
class _Counters:
    """All counters at one moment."""

    at_s: float
    ticks: Ticks | None
    waited_s: float | None
    own: OwnUse | None


class WindowMeter:
    """Reads what happened since the reading before (or since construction).

    A reading costs some tenths of a millisecond at most. The kernel counts in ticks of 10 ms: over
    half a second shares are exact to 2 %. Time that a child of this process used is its own once
    the child has ended and was waited for, that of others until then.
    """

    def __init__(self, *, proc: Path = _PROC) -> None:
        """Take the first reading of the counters."""
        self._stat, self._pressure = str(proc / "stat"), str(proc / "pressure" / "cpu")
        self._last = self._counters()

    def read(self) -> WindowReading:
        """What happened since the reading before."""
        before, now = self._last, self._counters()
        self._last = now
        elapsed_s = now.at_s - before.at_s
        if elapsed_s <= 0:
            return WindowReading()
        waiting = switches = None
        if before.waited_s is not None and now.waited_s is not None:
            waiting = min(1.0, max(0.0, (now.waited_s - before.waited_s) / elapsed_s))
        if before.own is not None and now.own is not None:
            switches = now.own.switches - before.own.switches
        return WindowReading(
            steal=_steal(before, now),
            other_load=_other_load(before, now, elapsed_s),
            waiting=waiting,
            switches=switches,
        )

    def _counters(self) -> _Counters:
        return _Counters(
            at_s=time.monotonic(),
            ticks=parse_ticks(_text(self._stat)),
            waited_s=parse_waited(_text(self._pressure)),
            own=own_use(),
        )


def _steal(before: _Counters, now: _Counters) -> float | None:
    if before.ticks is None or now.ticks is None or now.ticks.total <= before.ticks.total:
        return None
    passed = now.ticks.total - before.ticks.total
    return min(1.0, max(0.0, (now.ticks.stolen - before.ticks.stolen) / passed))


def _other_load(before: _Counters, now: _Counters, elapsed_s: float) -> float | None:
    if before.ticks is None or now.ticks is None or before.own is None or now.own is None:
        return None
    if now.ticks.total <= before.ticks.total:  # no tick yet, or a container that shows zeros
        return None
    busy_s = (now.ticks.busy - before.ticks.busy) * _TICK_S
    return max(0.0, (busy_s - (now.own.cpu_s - before.own.cpu_s)) / elapsed_s)


def parse_ticks(stat: str) -> Ticks | None:
    """The first line of ``/proc/stat``; None where it is not there.

    Guest time is part of user time already and is not counted again.
    """
    fields = stat.partition("\n")[0].split()
    if (
        len(fields) <= _STEAL + 1
        or fields[0] != "cpu"
        or not all(f.isdecimal() for f in fields[1:])
    ):
        return None
    ticks = [int(f) for f in fields[1 : _STEAL + 2]]
    return Ticks(total=sum(ticks), busy=sum(ticks[i] for i in _BUSY), stolen=ticks[_STEAL])


def parse_waited(pressure: str) -> float | None:
    """Seconds in which some task waited (``some total``) in ``/proc/pressure/cpu``, or None."""
    for line in pressure.splitlines():
        if line.startswith("some "):
            _, found, total = line.partition(" total=")
            return int(total) * 1e-6 if found and total.isdecimal() else None
    return None


def _text(path: str) -> str:
    try:
        with open(path) as file:  # noqa: PTH123 - a third of the cost of Path.read_text
            return file.read()
    except OSError:  # PSI may be compiled out or switched off
        return ""
