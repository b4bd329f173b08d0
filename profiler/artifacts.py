"""Building artefacts of random weights once, and loading them; runs inside children."""

from __future__ import annotations

import dataclasses
import os
import time
from pathlib import Path

import numpy as np

from exporters import Artifact, Inputs, Session, emit, make_inputs, random_weights, runtime
from fleetfit import Query, SurroundingsError, Target, digest, dumps, loads
from fleetfit.files import read_text, write_text

__all__ = ["artifact_of", "load_timed", "ready_inputs"]


def artifact_of(query: Query, directory: Path, *, seed: int) -> Artifact:
    """The artefact of ``query`` under random weights; built where it is not there yet."""
    target, workload = query.target, query.workload
    fixed = workload if target.shapes == "fixed" else None
    # Both runtimes load the ONNX file as it is, and share it.
    place = directory / digest((fixed, seed))
    record = place / "artifact.json"
    if record.is_file():
        artifact = loads(Artifact, read_text(record, "An artefact's record"))
        return dataclasses.replace(artifact, target=target, workload=workload)
    weights = random_weights(query.architecture, seed=seed)
    model = emit(query.architecture, weights, workload=fixed)
    artifact = runtime(target.runtime).build(model, target, workload, place)
    write_text(record, dumps(artifact))
    return artifact


def load_timed(artifact: Artifact) -> tuple[Session, float]:
    """The loaded network and the seconds loading took, import of the library left out.

    Pins this process where the target names cores.
    """
    pin(artifact.target)
    found = runtime(artifact.target.runtime)
    found.version()  # imports the library
    start = time.perf_counter()
    session = found.load(artifact)
    return session, time.perf_counter() - start


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


def ready_inputs(session: Session, query: Query, *, seed: int, count: int) -> list[Inputs]:
    """Inputs of the workload, after one run whose outputs must be finite."""
    inputs = make_inputs(query.architecture.embedding, query.workload, seed=seed, count=count)
    for name, values in session.run(inputs[0]).items():
        if values.size == 0 or not np.isfinite(values).all():
            raise SurroundingsError(
                f"The outputs of {query.target} must be finite numbers, but {name!r} has others; "
                "leave this target out."
            )
    return list(inputs)
