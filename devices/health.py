"""How the machine feels right now: load, steal and processor pressure."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from fleetfit import Health

__all__ = ["HealthMeter", "parse_pressure", "parse_times"]

_PROC: Final = Path("/proc")
_STEAL: Final = 7  # user nice system idle iowait irq softirq steal


class HealthMeter:
    """Reads health; steal is the share since the reading before (or since construction)."""

    def __init__(self, *, proc: Path = _PROC) -> None:
        """Take the first reading of the processor times."""
        self._proc = proc
        self._times = self._read_times()

    def read(self, *, reference_s: float | None = None) -> Health:
        """Health now; a value the system does not give is None."""
        before, now = self._times, self._read_times()
        self._times = now
        steal = None
        if before is not None and now is not None and now[0] > before[0]:
            steal = min(1.0, max(0.0, (now[1] - before[1]) / (now[0] - before[0])))
        return Health(
            load_1m=self._load(),
            steal=steal,
            pressure=parse_pressure(self._text("pressure/cpu")),
            reference_s=reference_s,
        )

    def _read_times(self) -> tuple[int, int] | None:
        return parse_times(self._text("stat"))

    def _load(self) -> float | None:
        try:
            return float(self._text("loadavg").split()[0])
        except (IndexError, ValueError):
            return None

    def _text(self, name: str) -> str:
        try:
            return (self._proc / name).read_text()
        except OSError:  # PSI may be compiled out or switched off
            return ""


def parse_times(stat: str) -> tuple[int, int] | None:
    """(all ticks, stolen ticks) of the first line of ``/proc/stat``; None where it is not there.

    Guest time is part of user time already and is not counted again.
    """
    fields = stat.partition("\n")[0].split()
    if len(fields) <= _STEAL + 1 or fields[0] != "cpu" or not all(f.isdigit() for f in fields[1:]):
        return None
    ticks = [int(f) for f in fields[1 : _STEAL + 2]]
    return sum(ticks), ticks[_STEAL]


def parse_pressure(text: str) -> float | None:
    """Share (0 to 1) of the last 10 s in ``/proc/pressure/cpu``; None where it is not there."""
    for line in text.splitlines():
        words = line.split()
        if words and words[0] == "some":
            for word in words[1:]:
                name, _, value = word.partition("=")
                if name == "avg10":
                    try:
                        return float(value) / 100
                    except ValueError:
                        return None
    return None
