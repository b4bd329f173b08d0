"""The example service in a process of its own: started, found by its port, ended by its id."""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Service", "served"]

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, kw_only=True, slots=True)
class Service:
    """A running ``examples.service``."""

    process: subprocess.Popen[str]
    port: int

    def end(self) -> tuple[int, str]:
        """Send SIGTERM, wait; the exit code and what was logged since it ran."""
        self.process.terminate()
        _, logged = self.process.communicate(timeout=60)
        return self.process.returncode, logged


@contextlib.contextmanager
def served(bundle: Path) -> Iterator[Service]:
    """Serve a bundle on a free port of the loopback; killed in the end where it still runs.

    Raises RuntimeError with what the service said where it does not come up.
    """
    command = [sys.executable, "-W", "error", "-m", "examples.service", str(bundle), "--port", "0"]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    try:
        yield Service(process=process, port=_port(process))
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def _port(process: subprocess.Popen[str]) -> int:
    assert process.stderr is not None
    said = []
    for line in process.stderr:
        said.append(line)
        if found := re.search(r"running on http://[\d.]+:(\d+)", line):
            return int(found[1])
    raise RuntimeError("".join(said))
