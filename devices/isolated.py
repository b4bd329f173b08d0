"""One job in a fresh child process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from devices.worker import Worker

__all__ = ["run_isolated"]


def run_isolated(module: str | Path, job: object, *, timeout_s: float) -> Any:
    """Run ``python -m module``, or the script at a path, for one JSON job; returns its JSON result.

    The environment is whitelisted, what the child prints is kept apart from the result, and the
    parent blocks. Raises SurroundingsError after a crash, garbage or ``timeout_s`` (the child is
    killed), and what the child raised where it is of our error tree.
    """
    with Worker(module) as worker:
        return worker.request(job, timeout_s=timeout_s)
