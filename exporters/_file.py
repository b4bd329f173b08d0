"""Artefacts as files: ONNX as it is, and what others have written."""

from __future__ import annotations

import hashlib
from pathlib import Path

import onnx

from exporters.runtime import Artifact, check_shapes, files_of
from exporters.serialize import model_bytes
from fleetfit import InputError, Target, Workload
from fleetfit.files import write_bytes

__all__ = ["artifact_of", "existing", "write_onnx"]


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


def artifact_of(path: Path, target: Target, workload: Workload) -> Artifact:
    """The artefact of files that are there; raises InputError where one is not."""
    size, digest = 0, hashlib.sha256()
    for part in files_of(path):
        try:
            with part.open("rb") as file:
                while block := file.read(1 << 20):
                    digest.update(block)
                    size += len(block)
        except OSError as exc:
            raise InputError(
                f"An artefact's files must be readable, but {part} is not; build it."
            ) from exc
    return Artifact(
        target=target, workload=workload, path=str(path), file_bytes=size, sha256=digest.hexdigest()
    )


def existing(artifact: Artifact) -> str:
    """The artefact's path; raises InputError where there is no file."""
    for part in artifact.files:
        if not part.is_file():
            raise InputError(
                f"An artefact must be an existing file, but {part} is not there; build it."
            )
    return artifact.path
