"""The artefact of runtimes that load ONNX as it is."""

from __future__ import annotations

import hashlib
from pathlib import Path

import onnx

from exporters.runtime import Artifact, check_shapes
from exporters.serialize import model_bytes
from fleetfit import InputError, Target, Workload
from fleetfit.files import write_bytes

__all__ = ["existing", "write_onnx"]


def write_onnx(
    model: onnx.ModelProto, target: Target, workload: Workload, directory: Path
) -> Artifact:
    """Write ``directory/model.onnx``; see Runtime.build."""
    check_shapes(model, target, workload)
    data = model_bytes(model)
    path = directory / "model.onnx"
    write_bytes(path, data, flush=False)  # it can be built again
    return Artifact(
        target=target,
        workload=workload,
        path=str(path),
        file_bytes=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
    )


def existing(artifact: Artifact) -> str:
    """The artefact's path; raises InputError where there is no file."""
    if not Path(artifact.path).is_file():
        raise InputError(
            f"An artefact must be an existing file, but {artifact.path} is not there; build it."
        )
    return artifact.path
