"""int8 for OpenVINO: post-training quantisation by NNCF, written as OpenVINO's own form."""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onnx

from exporters._file import artifact_of
from exporters._openvino import ov_core, ov_library
from exporters.runtime import Artifact, Inputs, said
from exporters.serialize import model_bytes
from fleetfit import InputError, RuntimeMissing, SurroundingsError, Target, Workload

__all__ = ["write_quantized"]


def write_quantized(
    model: onnx.ModelProto,
    target: Target,
    workload: Workload,
    directory: Path,
    calibration: Sequence[Inputs],
) -> Artifact:
    """Write ``directory/model.xml`` and its ``.bin``; see Runtime.build."""
    library, nncf = ov_library(), _nncf()
    try:
        plain = ov_core().read_model(model_bytes(model))
        with contextlib.redirect_stdout(io.StringIO()):  # its progress bars
            quantized = nncf.quantize(
                plain,
                nncf.Dataset([dict(inputs) for inputs in calibration]),
                subset_size=len(calibration),
                model_type=nncf.ModelType.TRANSFORMER,
            )
    except Exception as exc:  # both raise plain RuntimeError for everything
        raise InputError(
            f"NNCF must be able to quantise the network, but says: {said(exc).rstrip('.')}; choose "
            "another precision."
        ) from exc
    path = directory / "model.xml"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        library.save_model(quantized, path, compress_to_fp16=False)
    except (OSError, RuntimeError) as exc:
        raise SurroundingsError(
            f"{path} must be writable, but is not: {said(exc)}; free space."
        ) from exc
    return artifact_of(path, target, workload)


def _nncf() -> Any:
    try:
        import nncf
    except ImportError as exc:
        raise RuntimeMissing(
            "NNCF must be installed to quantise for OpenVINO, but it is not: "
            "pip install 'fleetfit[quantize]'."
        ) from exc
    nncf.set_log_level(logging.ERROR)
    return nncf
