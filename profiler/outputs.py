"""What a network must compute: outputs of the plain ONNX graph, compared with before any timing.

The plain graph runs in ONNX Runtime in fp32 without optimisations, on the first of the inputs that
are timed. A network whose outputs differ by more than its precision explains is never timed.
"""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np

from exporters import LIMITS, Inputs, Outputs, differences, make_inputs, plain_session
from fleetfit import InputError, Query, SurroundingsError, Target, digest
from fleetfit.files import write_bytes

__all__ = ["check_outputs", "expected_outputs"]


def expected_outputs(query: Query, model: Path, directory: Path, *, seed: int) -> Path:
    """The file of the outputs that ``query`` must give; written where it is not there yet.

    ``model`` is its ONNX file. Raises InputError where ONNX Runtime cannot read it.
    """
    path = directory / f"expected-{digest((query.workload, seed))}.npz"
    if not path.is_file():
        (inputs,) = make_inputs(query.architecture.embedding, query.workload, seed=seed, count=1)
        data = io.BytesIO()
        np.savez(data, **plain_session(str(model)).run(inputs))  # type: ignore[arg-type]
        write_bytes(path, data.getvalue())
    return path


def check_outputs(found: Outputs, expected: Path, inputs: Inputs, target: Target) -> None:
    """Raise SurroundingsError unless the outputs are the expected ones, up to the precision."""
    wanted = _read(expected)
    for name, values in found.items():
        if values.size == 0 or not np.isfinite(values).all():
            raise SurroundingsError(
                f"The outputs of {target} must be finite numbers, but {name!r} has others; "
                "leave this target out."
            )
    diffs, scale = differences(wanted, found, inputs)
    limit = LIMITS[target.precision](scale)
    if not diffs.max() <= limit:
        raise SurroundingsError(
            f"The outputs of {target} must agree with the plain ONNX graph to {limit:.2g}, but "
            f"differ by {diffs.max():.2g}; leave this target out, its times would mean nothing."
        )


def _read(path: Path) -> Outputs:
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (OSError, EOFError, ValueError, zipfile.BadZipFile) as exc:
        raise InputError(
            f"The expected outputs must be in {path}, but reading says: {exc}."
        ) from exc
