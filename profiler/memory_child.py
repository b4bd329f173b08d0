"""Peak memory of a process that only loads and runs a model: ``python -m profiler.memory_child``.

Nothing is timed here, and nothing is built here.
"""

from __future__ import annotations

import time
from typing import Any, Final

from devices import read_memory
from devices.child import serve
from exporters import runtime
from fleetfit import from_json
from profiler.artifacts import load_timed, ready_inputs
from profiler.requests import MemoryRequest
from profiler.visit import MemoryUse

__all__ = ["measure_memory"]

_INPUTS: Final = 8
_RUNS: Final = 50
_AT_MOST_S: Final = 2.0
"""Arenas have grown to their size after the first runs of each input; slow networks run fewer."""


def measure_memory(data: Any) -> MemoryUse:
    """Import the runtime, read the peak; load, run, read it again."""
    request = from_json(MemoryRequest, data)
    runtime(request.query.target.runtime).version()  # imports the library
    imports = read_memory()
    session, _ = load_timed(request.artifact)
    inputs = ready_inputs(session, request.query, seed=request.seed, count=_INPUTS)
    end = time.monotonic() + _AT_MOST_S
    for run in range(_RUNS):
        session.run(inputs[run % _INPUTS])
        if run >= _INPUTS and time.monotonic() > end:
            break
    after = read_memory()
    return MemoryUse(
        peak_bytes=after.peak_bytes,
        above_imports_bytes=max(0, after.peak_bytes - imports.peak_bytes),
        proportional_bytes=after.proportional_bytes,
    )


if __name__ == "__main__":
    serve(measure_memory)
