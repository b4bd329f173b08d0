"""A child process that answers requests over pipes of its own, under hard timeouts."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Final, Self

import fleetfit.errors
from devices.child import PARENT, RESULT_FD
from fleetfit import FleetfitError, SurroundingsError, dumps

__all__ = ["Worker"]

# Nothing else of the parent's environment reaches a child: thread counts, allocator settings and
# the like would change what is measured.
_PASSED: Final = (
    "CUDA_DEVICE_ORDER", "CUDA_VISIBLE_DEVICES", "HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH",
    "PATH", "PYTHONDONTWRITEBYTECODE", "PYTHONPATH", "TEMP", "TMP", "TMPDIR", "TZ", "VIRTUAL_ENV",
    "XDG_CACHE_HOME",
)  # fmt: skip
_SET: Final = {
    "ORT_DISABLE_TELEMETRY": "1",  # on by default in the official wheels since 1.29
    "OPENBLAS_NUM_THREADS": "1",  # numpy's own pool has no business beside a runtime's
    "PYTHONHASHSEED": "0",
    "PYTHONUNBUFFERED": "1",
}
_CLOSE_S: Final = 5.0
_AGAIN: Final = "try again, or leave this target out."
_OUT_OF_MEMORY: Final = "memory may have run out: free some, or take a smaller network."


def _environment() -> dict[str, str]:
    """The whitelisted part of ours and our own settings."""
    return {k: os.environ[k] for k in _PASSED if k in os.environ} | _SET


def _started(
    script: bool, module: str | Path, log: IO[bytes], write_end: int
) -> subprocess.Popen[bytes]:
    """The process; the end of the pipe that it writes to is closed here."""
    settings = {RESULT_FD: str(write_end), PARENT: str(os.getpid())}
    try:
        return subprocess.Popen(
            [sys.executable, "-P" if script else "-m", str(module)],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            env=_environment() | settings,
            pass_fds=(write_end,),
            start_new_session=True,
        )
    finally:
        os.close(write_end)


class Worker:
    """One child: ``python -m module``, whose main calls ``devices.child.serve``, or a script.

    A script is given by its path and does for itself what ``serve`` does; its folder is not on
    ``sys.path``.

    Requests are answered one after the other; the parent blocks without polling. After a crash, a
    timeout or garbage the child is killed, SurroundingsError is raised, and so it is from then on.
    Use as a context manager; the child also dies with its parent. The thread that makes a worker
    must outlive it.
    """

    def __init__(self, module: str | Path) -> None:
        """Start the child; raises SurroundingsError where the system refuses."""
        script = isinstance(module, Path)
        self.module = module.name if isinstance(module, Path) else module
        with contextlib.ExitStack() as opened:
            try:
                self._log: IO[bytes] = opened.enter_context(tempfile.TemporaryFile())
                self._result, write_end = os.pipe()
                opened.callback(os.close, self._result)
                self._process = _started(script, module, self._log, write_end)
            except OSError as exc:
                raise SurroundingsError(
                    f"The child process {module} must start, but the system says: "
                    f"{exc.strerror or exc}; free memory, processes or disk space and try again."
                ) from exc
            opened.pop_all()  # closed by kill
        assert self._process.stdin is not None
        self._stdin = self._process.stdin
        os.set_blocking(self._stdin.fileno(), False)
        os.set_blocking(self._result, False)
        self._open = True

    @property
    def has_ended(self) -> bool:
        """Whether it answers no more: after ``close``, a crash, a timeout or garbage."""
        return not self._open

    @property
    def pid(self) -> int:
        """Process id of the child."""
        return self._process.pid

    def request(self, job: object, *, timeout_s: float) -> Any:
        """Send ``job`` as JSON and return the result as plain JSON data.

        Raises what the child raised where it is of our error tree; SurroundingsError for a crash,
        a timeout, garbage or any other exception in the child.
        """
        if not self._open:
            raise SurroundingsError(
                f"The child {self.module} must be running, but it has ended; start another."
            )
        self._log.truncate(0)  # what it printed for earlier requests
        self._log.seek(0)
        try:
            line = self._exchange(dumps(job).encode() + b"\n", time.monotonic() + timeout_s)
        except TimeoutError:
            self.kill()
            raise SurroundingsError(
                f"The child {self.module} must answer within {timeout_s:.3g} s, but did not and "
                "was stopped; try again on a quieter machine or leave this target out."
            ) from None
        except BaseException:
            self.kill()
            raise
        return self._read(line)

    def close(self) -> None:
        """End the child: stdin closes, and what is left after a few seconds is killed."""
        if not self._open:
            return
        with contextlib.suppress(OSError):
            self._stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_CLOSE_S)
        self.kill()

    def kill(self) -> None:
        """End the child and everything it started, at once."""
        if not self._open:
            return
        self._open = False
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        with contextlib.suppress(OSError):
            self._stdin.close()
        os.close(self._result)
        self._log.close()

    def __enter__(self) -> Self:
        """The worker itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the child: in peace after a good block, at once after an error."""
        if kind is None:
            self.close()
        else:
            self.kill()

    def _exchange(self, data: bytes, deadline: float) -> bytes:
        """Write ``data`` and read one line; sleeps in the kernel until a pipe is ready."""
        received = b""
        with selectors.DefaultSelector() as selector:
            selector.register(self._result, selectors.EVENT_READ)
            selector.register(self._stdin, selectors.EVENT_WRITE)
            while not received.endswith(b"\n"):
                ready = selector.select(max(0.0, deadline - time.monotonic()))
                for key, _ in ready:
                    if key.fileobj is self._stdin:
                        data = data[self._write(data) :]
                        if not data:
                            selector.unregister(self._stdin)
                    else:
                        chunk = os.read(self._result, 1 << 16)
                        if not chunk:
                            raise self._crash()
                        received += chunk
                # After the reading: an answer that came while this process was stopped is one. A
                # child that streams something without end is late too.
                if not received.endswith(b"\n") and time.monotonic() >= deadline:
                    raise TimeoutError
        return received

    def _write(self, data: bytes) -> int:
        try:
            return os.write(self._stdin.fileno(), data)
        except BlockingIOError:
            return 0
        except BrokenPipeError:
            raise self._crash() from None

    def _crash(self) -> SurroundingsError:
        """The error for a child that is gone; its last printed line is part of it."""
        try:
            code = self._process.wait(_CLOSE_S)
            how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        except subprocess.TimeoutExpired:
            how = "its result pipe closed"
        said = self._last_line()
        advice = _OUT_OF_MEMORY if how == "signal SIGKILL" else _AGAIN
        return SurroundingsError(
            f"The child {self.module} must answer, but it ended with {how}"
            + (f", saying last: {said[:300]!r}; " if said else "; ")
            + advice
        )

    def _last_line(self) -> str:
        """What the child printed last; "" where it printed nothing."""
        end = self._log.seek(0, os.SEEK_END)
        self._log.seek(max(0, end - 2000))
        lines = self._log.read().decode(errors="replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "")

    def _read(self, line: bytes) -> Any:
        try:
            reply = json.loads(line)
            if "result" in reply:
                return reply["result"]
            name, message = reply["error"], reply["message"]
        except (ValueError, TypeError, KeyError, RecursionError):
            self.kill()
            raise SurroundingsError(
                f"The child {self.module} must answer in JSON, but sent {line[:60]!r}; "
                f"it was stopped; {_AGAIN}"
            ) from None
        known = getattr(fleetfit.errors, str(name), None)
        if isinstance(known, type) and issubclass(known, FleetfitError):
            raise known(message)
        said = message.rstrip(".")
        raise SurroundingsError(
            f"The child {self.module} must answer, but failed: {said}; {_AGAIN}"
        )
