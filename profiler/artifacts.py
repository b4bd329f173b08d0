"""Building artefacts of random weights once, and loading them; runs inside children."""

from __future__ import annotations

import dataclasses
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from exporters import (
    Artifact,
    Inputs,
    Session,
    emit,
    make_inputs,
    random_weights,
    runtime_of,
    write_plain,
)
from fleetfit import Query, SurroundingsError, Target, digest, dumps, loads
from fleetfit.files import read_text, write_text
from profiler.outputs import checked_run

__all__ = ["Built", "Loaded", "built", "load_timed", "ready_inputs"]

_CALIBRATION: Final = 8
"""Inputs from which int8 takes its scales."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Built:
    """An artefact and the seconds its runtime took to build it from the graph in memory."""

    artifact: Artifact
    build_s: float
    plain: str
    """Path of the emitted fp32 ONNX file, which says what its outputs must be."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Loaded:
    """A loaded network, and what loading took in seconds."""

    session: Session
    import_s: float
    """The library's import; next to nothing where it was imported before."""
    load_s: float
    """From the file to a session, without the import."""


def built(query: Query, directory: Path, *, seed: int) -> Built:
    """The artefact of ``query`` under random weights; built where it is not there yet."""
    target, workload = query.target, query.workload
    fixed = workload if target.shapes == "fixed" else None
    adapter = runtime_of(target)
    plain = directory / digest((fixed, seed))
    # Targets that load the ONNX file as it is share it.
    place = plain if adapter.takes_onnx(target) else plain / digest((target, workload))
    record = place / "artifact.json"
    if record.is_file():
        found = loads(Built, read_text(record, "An artefact's record"))
        artifact = dataclasses.replace(found.artifact, target=target, workload=workload)
        return dataclasses.replace(found, artifact=artifact)
    model = emit(query.architecture, random_weights(query.architecture, seed=seed), workload=fixed)
    if place != plain:
        write_plain(model, target, workload, plain)
    # Random too: which values scales have does not change what a network costs.
    inputs = make_inputs(query.architecture.embedding, workload, seed=seed, count=_CALIBRATION)
    start = time.perf_counter()
    artifact = adapter.build(model, target, workload, place, calibration=list(inputs))
    build_s = time.perf_counter() - start
    found = Built(artifact=artifact, build_s=build_s, plain=str(plain / "model.onnx"))
    write_text(record, dumps(found), flush=False)
    return found


def load_timed(artifact: Artifact) -> Loaded:
    """Load the network, timed; pins this process where the target names cores."""
    pin(artifact.target)
    found = runtime_of(artifact.target)
    start = time.perf_counter()
    found.version()  # imports the library
    imported = time.perf_counter()
    session = found.load(artifact)
    return Loaded(session=session, import_s=imported - start, load_s=time.perf_counter() - imported)


def pin(target: Target) -> None:
    """Pin this process to the target's cores, where it names some."""
    if target.affinity:
        try:
            os.sched_setaffinity(0, target.affinity)
        except (OSError, AttributeError) as exc:
            raise SurroundingsError(
                f"The target's cores {target.affinity} must be usable here, but the system says: "
                f"{exc}; choose others."
            ) from exc


def ready_inputs(
    session: Session, query: Query, *, seed: int, count: int, expected: Path
) -> tuple[list[Inputs], float]:
    """Inputs of the workload, and the seconds of the first run, which is checked.

    Raises SurroundingsError where outputs are not those of the file ``expected``
    (``profiler.outputs``): the time of a network that computes something else is worth nothing.
    """
    first_run_s = checked_run(session, expected, query.target)
    inputs = make_inputs(query.architecture.embedding, query.workload, seed=seed, count=count)
    return list(inputs), first_run_s
