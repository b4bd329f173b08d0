"""A child that does what it is asked, good and bad."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from devices.child import RESULT_FD, serve
from fleetfit import InputError


def speak() -> str:
    print("noise on stdout", flush=True)
    os.write(1, b'{"result": "forged"}\n')
    return "true answer"


def crash() -> None:
    print("going down", file=sys.stderr, flush=True)
    os.kill(os.getpid(), signal.SIGSEGV)


def garbage() -> None:
    os.write(int(os.environ[RESULT_FD]), b"\xff\x00 not json\n")
    time.sleep(600)


def stream() -> None:
    end = time.monotonic() + 10  # ends at last, so that a parent that waits for it fails its test
    while time.monotonic() < end:
        os.write(int(os.environ[RESULT_FD]), b"x" * 4096)


def ours() -> None:
    raise InputError("A number must be even, but got 3.")


def foreign() -> None:
    raise ZeroDivisionError("by zero")


ACTIONS: dict[str, Callable[[], object]] = {
    "print": speak,
    "environment": lambda: dict(os.environ),
    "crash": crash,
    "exit": lambda: os._exit(3),
    "hang": lambda: time.sleep(600),
    "garbage": garbage,
    "stream": stream,
    "ours": ours,
    "foreign": foreign,
    "unwritable": object,
    "spawn": lambda: subprocess.Popen(["sleep", "600"]).pid,
}


def handle(job: Any) -> object:
    return job["value"] if job["do"] == "echo" else ACTIONS[job["do"]]()


if __name__ == "__main__":
    serve(handle)
