"""ONNX Runtime on the processor: fp32, and int8 as this project quantises."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onnx

from exporters._cpu import weight_bits
from exporters._file import existing, write_onnx
from exporters._onnxruntime import SPINNING, open_model, ort_library, read_back, session_options
from exporters.calibrate import activation_ranges
from exporters.emit import PRECISION
from exporters.quantize import BITS, quantize_dynamic, quantize_static
from exporters.runtime import (
    Artifact,
    Inputs,
    Runtime,
    Session,
    check_affinity,
    check_calibration,
    check_read_back,
    check_target,
)
from fleetfit import QUANTIZED, DeviceInfo, InputError, SurroundingsError, Target, Workload

__all__ = ["OnnxRuntimeCpu", "plain_session"]


class OnnxRuntimeCpu(Runtime):
    """Sequential execution, one pool of ``target.threads`` threads, all optimisations."""

    name = "onnxruntime"
    provider = "cpu"
    precisions = ("fp32", "int8", "int8_dynamic")

    def available(self) -> bool:
        """See Runtime."""
        return importlib.util.find_spec("onnxruntime") is not None

    def version(self) -> str:
        """See Runtime."""
        return str(ort_library().__version__)

    def targets(self, device: DeviceInfo, *, threads: int) -> tuple[Target, ...]:
        """See Runtime."""
        if not self.available():
            return ()
        return tuple(
            Target(runtime=self.name, precision=precision, threads=threads)
            for precision in self.precisions
        )

    def takes_onnx(self, target: Target) -> bool:
        """See Runtime."""
        return target.precision == "fp32"

    def build(
        self,
        model: onnx.ModelProto,
        target: Target,
        workload: Workload,
        directory: Path,
        *,
        calibration: Sequence[Inputs] = (),
    ) -> Artifact:
        """See Runtime; the artefact is the ONNX file."""
        check_target(self, target)
        check_calibration(target, calibration)
        if target.precision == "int8_dynamic":
            model = quantize_dynamic(model, bits=weight_bits())
        elif target.precision == "int8":
            ranges = activation_ranges(model, calibration)
            model = quantize_static(model, ranges, bits=weight_bits())
        return write_onnx(model, target, workload, directory)

    def options(self, target: Target) -> dict[str, Any]:
        """See Runtime: attributes of the session options, configuration entries, providers."""
        return {
            "session": session_options(target),
            "entries": {SPINNING: "1" if target.spinning else "0"},
            "providers": ["CPUExecutionProvider"],
        }

    def load(self, artifact: Artifact) -> Session:
        """See Runtime."""
        target = artifact.target
        check_target(self, target)
        check_affinity(target)
        options = self.options(target)
        loaded = open_model(existing(artifact), options)
        wanted = read_back(options) | {PRECISION: target.precision}
        check_read_back(target, wanted, loaded.properties)
        if target.precision in QUANTIZED:
            _check_bits(loaded.metadata.get(BITS))
        return loaded


def plain_session(path: str) -> Session:
    """The model as it stands: fp32, one thread, no optimisation; what others are compared with.

    Raises as ``OnnxRuntimeCpu.load``.
    """
    options = OnnxRuntimeCpu().options(Target(runtime="onnxruntime"))
    options["session"]["graph_optimization_level"] = "ORT_DISABLE_ALL"
    return open_model(path, options)


def _check_bits(bits: str | None) -> None:
    """int8 that would overflow on this processor gives wrong answers, not slow ones."""
    if bits not in ("7", "8"):
        raise InputError(
            f"An int8 model must say {BITS} 7 or 8, but says {bits}; build or export it again."
        )
    if int(bits) > weight_bits():
        raise SurroundingsError(
            "int8 weights of 8 bits need a processor with VNNI, but this one has none; export the "
            "bundle here."
        )
