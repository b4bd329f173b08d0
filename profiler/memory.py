"""Peak memory of an artefact, from a fresh child that only imports the runtime, loads and runs."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from devices import run_isolated
from exporters import INPUTS, Artifact, make_inputs, runtime
from fleetfit import InputError, Query, from_json
from fleetfit.files import write_bytes
from profiler.visit import MemoryUse

__all__ = ["Peaks", "measure_memory", "memory_job", "read_peaks"]

_SCRIPT: Final = Path(__file__).with_name("memory_child.py")
_INPUTS: Final = 8
_RUNS: Final = 50
_AT_MOST_S: Final = 2.0
"""Arenas have grown to their size after the first runs of each input; slow networks run fewer."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Peaks:
    """Peak resident bytes (VmHWM) since the child began."""

    imports: int
    """With the runtime imported and nothing loaded."""
    steady: int
    """After all runs."""

    def __post_init__(self) -> None:
        """Both readings are there."""
        if min(self.imports, self.steady) < 1:
            raise InputError(f"Peaks must be at least 1 byte each, but got {self}.")


def measure_memory(
    query: Query, artifact: Artifact, *, scratch: Path, seed: int, timeout_s: float
) -> MemoryUse:
    """Load and run ``artifact`` in a child of its own and return its peak.

    The inputs go through a file in ``scratch``, the caller's to remove. Raises RuntimeMissing
    where the child cannot import the runtime, SurroundingsError where it fails, crashes, or does
    not answer within ``timeout_s``.
    """
    job = memory_job(query, artifact, scratch=scratch, seed=seed)
    peaks = read_peaks(job, timeout_s=timeout_s)
    return MemoryUse(
        peak_bytes=peaks.steady, above_imports_bytes=max(0, peaks.steady - peaks.imports)
    )


def memory_job(query: Query, artifact: Artifact, *, scratch: Path, seed: int) -> dict[str, Any]:
    """All that the child is told, as plain data; writes the inputs."""
    target = query.target
    inputs = make_inputs(query.architecture.embedding, query.workload, seed=seed, count=_INPUTS)
    path = scratch / "memory-inputs.npy"
    data = io.BytesIO()
    np.save(data, np.array([[one[name] for name in INPUTS] for one in inputs]))
    write_bytes(path, data.getvalue())
    return {
        "runtime": target.runtime,
        "options": runtime(target.runtime).options(target),
        "affinity": target.affinity,
        "model": artifact.path,
        "inputs": str(path),
        "names": INPUTS,
        "runs": _RUNS,
        "at_most_s": _AT_MOST_S,
    }


def read_peaks(job: dict[str, Any], *, timeout_s: float) -> Peaks:
    """What the child of ``memory_job`` reads; raises as ``measure_memory``."""
    return from_json(Peaks, run_isolated(_SCRIPT, job, timeout_s=timeout_s))
