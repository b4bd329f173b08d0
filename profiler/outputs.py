"""What a network must compute: outputs of the plain ONNX graph, compared with before any timing.

The plain graph runs in ONNX Runtime in fp32 without optimisations, on an input of the workload that
is kept beside its outputs. A network whose outputs differ by more than its precision explains is
never timed.
"""

from __future__ import annotations

import io
import time
import zipfile
from pathlib import Path
from typing import Any, Final

import numpy as np

from exporters import (
    INPUTS,
    LIMITS,
    Artifact,
    Inputs,
    Outputs,
    Session,
    differences,
    make_inputs,
    plain_session,
)
from fleetfit import InputError, Query, SurroundingsError, Target, digest
from fleetfit.files import write_bytes

__all__ = ["checked_run", "expected_outputs", "plain_run_s"]

_INPUT: Final = "input:"
_SECONDS: Final = "seconds:"


def expected_outputs(
    query: Query, artifact: Artifact, directory: Path, *, seed: int, plain: str = ""
) -> Path:
    """A file with an input of ``query`` and the outputs it must give; written where not there yet.

    ``plain``: the emitted fp32 ONNX file, where the artefact is not that itself. Raises InputError
    where ONNX Runtime cannot read it.
    """
    path = directory / f"expected-{digest((query.workload, artifact.sha256, seed))}.npz"
    if not path.is_file():
        (inputs,) = make_inputs(query.architecture.embedding, query.workload, seed=seed, count=1)
        session = plain_session(plain or artifact.path)
        start = time.perf_counter()
        arrays = session.run(inputs)
        seconds = {_SECONDS: np.array(time.perf_counter() - start)}
        data = io.BytesIO()
        named = {_INPUT + k: v for k, v in inputs.items()} | arrays | seconds
        np.savez(data, **named)
        write_bytes(path, data.getvalue(), flush=False)
    return path


def plain_run_s(expected: Path) -> float:
    """Seconds that the plain graph took for the outputs in ``expected``."""
    return float(_arrays(expected)[_SECONDS])


def checked_run(session: Session, expected: Path, target: Target) -> float:
    """Run ``session`` once on the input of ``expected``; seconds of the run.

    Raises SurroundingsError unless the outputs are the expected ones, up to the precision.
    """
    inputs, wanted = _read(expected)
    start = time.perf_counter()
    found = session.run(inputs)
    seconds = time.perf_counter() - start
    for name, values in found.items():
        if values.size == 0 or not np.isfinite(values).all():
            raise SurroundingsError(
                f"The outputs of {target} must be finite numbers, but {name!r} has others; "
                "leave this target out."
            )
    try:
        diffs, scale = differences(wanted, found, inputs)
    except InputError as exc:
        raise SurroundingsError(
            f"{target} must compute the ONNX graph, but: {exc} Leave this target out."
        ) from exc
    limit = LIMITS[target.precision](scale)
    if not diffs.max() <= limit:
        few = ", or calibrate it on more text" if target.precision == "int8" else ""
        raise SurroundingsError(
            f"The outputs of {target} must agree with the plain ONNX graph to {limit:.2g}, but "
            f"differ by {diffs.max():.2g}; leave this target out, for its times would mean "
            f"nothing{few}."
        )
    return seconds


def _arrays(expected: Path) -> dict[str, Any]:
    try:
        with np.load(expected, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (OSError, EOFError, ValueError, zipfile.BadZipFile) as exc:
        raise InputError(
            f"The expected outputs must be in {expected}, but reading says: {exc}; measure again."
        ) from exc


def _read(expected: Path) -> tuple[Inputs, Outputs]:
    arrays = _arrays(expected)
    arrays.pop(_SECONDS, None)
    inputs = {name: arrays.pop(_INPUT + name, None) for name in INPUTS}
    missing = [name for name, values in inputs.items() if values is None]
    if missing or not arrays:
        raise InputError(
            f"The expected outputs must be in {expected} with their input, but "
            f"{', '.join(missing) or 'every output'} is missing; measure again."
        )
    return {name: values for name, values in inputs.items() if values is not None}, arrays
