"""How the machine feels right now: load, steal, processor pressure, other processes."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from devices.pseudo_files import read_or_empty
from devices.window import WindowMeter
from fleetfit import Health

__all__ = ["HealthMeter", "parse_pressure"]

_PROC: Final = Path("/proc")


class HealthMeter:
    """Reads health; steal and other load are since the reading before (or construction)."""

    def __init__(self, *, proc: Path = _PROC) -> None:
        """Take the first reading of the processor times."""
        self._proc = proc
        self._window = WindowMeter(proc=proc)

    def read(self) -> Health:
        """Health now; a value the system does not give is None."""
        window = self._window.read()
        return Health(
            load_1m=self._load(),
            steal=window.steal,
            pressure=parse_pressure(read_or_empty(self._proc / "pressure" / "cpu")),
            other_load=window.other_load,
        )

    def _load(self) -> float | None:
        try:
            return float(read_or_empty(self._proc / "loadavg").split()[0])
        except (IndexError, ValueError):
            return None


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
