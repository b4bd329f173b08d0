"""The child's side of a worker: requests as JSON lines on stdin, replies on a pipe of their own.

What anything in the child prints goes to its log and cannot corrupt a reply.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import sys
from collections.abc import Callable
from typing import Any, Final

from fleetfit import FleetfitError, dumps

__all__ = ["PARENT", "RESULT_FD", "serve"]

RESULT_FD: Final = "FLEETFIT_RESULT_FD"
PARENT: Final = "FLEETFIT_PARENT"
_PR_SET_PDEATHSIG: Final = 1


def serve(handle: Callable[[Any], object]) -> None:
    """Answer every request with ``handle(job)`` until stdin ends.

    The result must have a JSON form (plain data or dataclasses). An error of our tree crosses
    with its class and message, any other as a failure of the child.
    """
    _die_with_parent()
    requests = os.fdopen(os.dup(0), "rb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    with requests, os.fdopen(int(os.environ[RESULT_FD]), "wb") as replies:
        for line in requests:
            reply = dumps(_answer(handle, line)).encode()
            with contextlib.suppress(BrokenPipeError):  # the parent is gone: stdin ends next
                replies.write(reply + b"\n")
                replies.flush()


def _answer(handle: Callable[[Any], object], line: bytes) -> dict[str, object]:
    try:
        # dumps here, so that a result without a JSON form is reported like any other failure
        return {"result": json.loads(dumps(handle(json.loads(line))))}
    except FleetfitError as exc:
        return {"error": type(exc).__name__, "message": str(exc)}
    except Exception as exc:
        return {"error": "", "message": f"{type(exc).__name__}: {exc}"}


def _die_with_parent() -> None:
    """Ask the kernel to kill this process when its parent dies, even by SIGKILL."""
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != int(os.environ[PARENT]):  # it died before we asked
        os._exit(1)
