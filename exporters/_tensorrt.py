"""TensorRT's module, its messages, and whether it can start here at all."""

from __future__ import annotations

import functools
import subprocess
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, TypeVar

from exporters.runtime import said
from fleetfit import FleetfitError, InputError, RuntimeMissing, SurroundingsError

if TYPE_CHECKING:
    import tensorrt as trt

__all__ = ["Messages", "asked", "messages", "require_tensorrt", "started", "trt_version"]

_INSTALL: Final = (
    "pip install 'fleetfit[tensorrt]' --extra-index-url https://pypi.nvidia.com (its libraries are "
    "not on PyPI)"
)
_PROBE: Final = "import tensorrt; tensorrt.Runtime(tensorrt.Logger(tensorrt.Logger.ERROR))"
_PROBE_S: Final = 120.0
T = TypeVar("T")
_ADVICE: Final[dict[type[FleetfitError], str]] = {
    InputError: "build it again, or choose another target",
    SurroundingsError: "free memory of the GPU, check its driver, or choose another target",
}


def require_tensorrt() -> None:
    """Raise RuntimeMissing unless the library can be imported; ``import tensorrt`` works then."""
    try:
        import tensorrt
    except (ImportError, OSError) as exc:  # OSError: a library beside it that is missing
        raise RuntimeMissing(
            f"TensorRT must be installed for this target, but Python says: {said(exc)}; {_INSTALL}."
        ) from exc
    if not hasattr(tensorrt, "Runtime"):  # what is left of a package after its removal
        raise RuntimeMissing(f"TensorRT must be installed for this target, but is not; {_INSTALL}.")


def trt_version() -> str:
    """As in ``10.16.1.11``; raises RuntimeMissing."""
    require_tensorrt()
    import tensorrt as trt

    return str(trt.__version__)


class Messages:
    """What TensorRT logs, kept instead of printed."""

    def __init__(self) -> None:
        """Nothing was said yet."""
        self.errors: list[str] = []

    def add(self, text: str) -> None:
        """Keep an error."""
        self.errors.append(said(text))

    def last(self) -> str:
        """The first and the last error, which is the one that ended it; then nothing is kept."""
        found, self.errors = self.errors, []
        return "; ".join(dict.fromkeys([*found[:1], *found[-1:]])).rstrip(".") or "nothing"


def messages(kept: Messages) -> trt.ILogger:
    """A logger that keeps errors in ``kept`` and drops everything else."""
    import tensorrt as trt

    class Quiet(trt.ILogger):
        def __init__(self) -> None:
            trt.ILogger.__init__(self)  # pybind11 demands its own

        def log(self, severity: trt.ILogger.Severity, msg: str) -> None:
            if severity in (trt.ILogger.ERROR, trt.ILogger.INTERNAL_ERROR):
                kept.add(msg)

    return Quiet()


def asked(
    made: Callable[[], T | None], what: str, kept: Messages, *, kind: type[FleetfitError]
) -> T:
    """What ``made`` gives; ``kind`` with TensorRT's own words where it gives None or raises."""
    try:
        found = made()
    except Exception as exc:  # TypeError where a factory gave nothing, RuntimeError, MemoryError
        kept.add(str(exc))
        raise kind(f"TensorRT must {what}, but says: {kept.last()}; {_ADVICE[kind]}.") from exc
    if found is None or found is False:
        raise kind(f"TensorRT must {what}, but says: {kept.last()}; {_ADVICE[kind]}.")
    return found


@functools.cache
def started() -> None:
    """Raise SurroundingsError where TensorRT cannot start; tried in a process of its own.

    Without a fitting driver its Builder and Runtime may end the process that makes them.
    """
    try:
        done = subprocess.run(
            [sys.executable, "-c", _PROBE],
            capture_output=True,
            text=True,
            timeout=_PROBE_S,
            check=False,
        )
        how, printed = f"exit code {done.returncode}", done.stderr + done.stdout
    except (OSError, subprocess.TimeoutExpired) as exc:
        done, how, printed = None, "no answer", str(exc)
    if done is None or done.returncode != 0:
        lines = [line for line in printed.splitlines() if line[:1].strip()]  # no source code
        errors = [line for line in lines if "error" in line.lower()]
        raise SurroundingsError(
            "TensorRT must start here, but a process that tried ended with "
            f"{how}, saying: {said((errors or lines or ['nothing'])[0])}; update the NVIDIA driver "
            "(535 or newer, 580 for CUDA 13) or choose another target."
        )
