"""Peak memory of an artefact, from a fresh child that only imports the runtime, loads and runs."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any, Final, get_args

import numpy as np

from devices import run_isolated
from exporters import INPUTS, Artifact, make_inputs, runtime_of
from fleetfit import InputError, MemoryReading, MemoryStage, Query, from_json
from fleetfit.files import write_bytes
from profiler.visit import MemoryUse

__all__ = ["measure_memory", "memory_job", "memory_use", "read_stages"]

_SCRIPT: Final = Path(__file__).with_name("memory_child.py")
_INPUTS: Final = 8
_RUNS: Final = 50
_AT_MOST_S: Final = 2.0
"""Arenas have grown to their size after the first runs of each input; slow networks run fewer."""


def measure_memory(
    query: Query, artifact: Artifact, *, scratch: Path, seed: int, timeout_s: float
) -> MemoryUse:
    """Load and run ``artifact`` in a child of its own and return its peak.

    The inputs go through a file in ``scratch``, the caller's to remove. Raises RuntimeMissing
    where the child cannot import the runtime, SurroundingsError where it fails, crashes, or does
    not answer within ``timeout_s``.
    """
    job = memory_job(query, artifact, scratch=scratch, seed=seed)
    return memory_use(read_stages(job, timeout_s=timeout_s))


def memory_job(query: Query, artifact: Artifact, *, scratch: Path, seed: int) -> dict[str, Any]:
    """All that the child is told, as plain data; writes the inputs."""
    target = query.target
    inputs = make_inputs(query.architecture.embedding, query.workload, seed=seed, count=_INPUTS)
    path = scratch / "memory-inputs.npy"
    data = io.BytesIO()
    np.save(data, np.array([[one[name] for name in INPUTS] for one in inputs]))
    write_bytes(path, data.getvalue(), flush=False)
    return {
        "runtime": target.runtime,
        "options": runtime_of(target).options(target),
        "affinity": target.affinity,
        "model": artifact.path,
        "inputs": str(path),
        "names": INPUTS,
        "runs": _RUNS,
        "at_most_s": _AT_MOST_S,
    }


def read_stages(job: dict[str, Any], *, timeout_s: float) -> tuple[MemoryReading, ...]:
    """What the child of ``memory_job`` reads, a reading for each stage in order.

    Raises as ``measure_memory``, and InputError for an answer that is none.
    """
    answer = run_isolated(_SCRIPT, job, timeout_s=timeout_s)
    found = from_json(tuple[MemoryReading, ...], answer)
    if tuple(r.stage for r in found) != get_args(MemoryStage):
        raise InputError(
            f"A memory child must read the stages {', '.join(get_args(MemoryStage))}, but read "
            f"{', '.join(r.stage for r in found) or 'none'}."
        )
    return found


def memory_use(stages: tuple[MemoryReading, ...]) -> MemoryUse:
    """Peak over all stages, and its share above the imports."""
    imports, peak = stages[0].peak_bytes, stages[-1].peak_bytes
    return MemoryUse(peak_bytes=peak, above_imports_bytes=max(0, peak - imports), readings=stages)
