"""TensorRT on a GPU, versions 10 and 11: the precision is written into the ONNX before it is built.

Never run on a GPU so far: checked against the types of both versions and against stand-ins.
"""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import onnx

from exporters._cuda import cuda_library, first_gpu, use_first
from exporters._file import artifact_of, existing
from exporters._gpu import able
from exporters._tensorrt import started, trt_version
from exporters._tensorrt_build import Recipe, build_plan
from exporters._tensorrt_run import Engine
from exporters._tensorrt_session import TensorRtSession
from exporters._timing_cache import TimingCache
from exporters.calibrate import activation_ranges
from exporters.cast import cast_model
from exporters.emit import PRECISION, SIZES
from exporters.engine_record import (
    EngineRecord,
    Profile,
    check_bytes,
    check_place,
    read_record,
    write_record,
)
from exporters.input_rule import size_of
from exporters.quantize import quantize_static
from exporters.runtime import (
    Artifact,
    Inputs,
    Runtime,
    Session,
    check_affinity,
    check_calibration,
    check_read_back,
    check_shapes,
    check_target,
)
from exporters.serialize import model_bytes
from fleetfit import (
    DeviceInfo,
    InputError,
    Precision,
    SurroundingsError,
    Target,
    Workload,
)
from fleetfit.files import write_bytes

__all__ = ["TensorRtGpu"]

_NEEDS: Final[dict[Precision, tuple[int, int]]] = {
    "fp32": (7, 5),
    "tf32": (8, 0),
    "fp16": (7, 5),
    "bf16": (8, 0),
    "int8": (7, 5),
}
"""Precision to the least compute capability; TensorRT itself needs 7.5 (its "Support Matrix")."""
_LEAST_BATCH: Final = 4
"""Batches that always fit, whatever the workload: outputs are compared at a few rows, too."""


class TensorRtGpu(Runtime):
    """Strongly typed engines: fp32 with TF32 off or on, fp16, bf16, int8 from explicit Q/DQ."""

    name = "tensorrt"
    provider = "cuda"
    precisions = tuple(_NEEDS)

    def __init__(self, cache: Path | None = None) -> None:
        """``cache``: directory of timing caches; see TimingCache."""
        self._cache = cache

    def available(self) -> bool:
        """See Runtime; CUDA's bindings are part of it."""
        return _is_installed("tensorrt") and _is_installed("cuda.bindings")

    def version(self) -> str:
        """See Runtime; CUDA's bindings must be there, too."""
        found = trt_version()
        cuda_library()
        return found

    def targets(self, device: DeviceInfo, *, threads: int) -> tuple[Target, ...]:
        """See Runtime; none without a GPU that is seen (nvidia-ml-py) and able."""
        first = Target(runtime=self.name, provider=self.provider, threads=threads)
        return able(device, first, _NEEDS) if self.available() else ()

    def takes_onnx(self, target: Target) -> bool:
        """See Runtime."""
        return False

    def build(
        self,
        model: onnx.ModelProto,
        target: Target,
        workload: Workload,
        directory: Path,
        *,
        calibration: Sequence[Inputs] = (),
    ) -> Artifact:
        """See Runtime; ``model.engine`` and its record, for this GPU and version alone unless
        ``target.compatible`` says otherwise.

        Raises RuntimeMissing without the library, SurroundingsError without a GPU.
        """
        check_target(self, target)
        check_calibration(target, calibration)
        check_shapes(model, target, workload)
        version, gpu = self.version(), first_gpu()
        _check_gpu(target, gpu.capability)
        started()
        use_first()
        metadata = {p.key: p.value for p in model.metadata_props}
        sizes = {name: metadata[name] for name in SIZES if name in metadata}
        longest = size_of("the model", "max_positions", metadata)
        profile = _profile(target, workload, longest or workload.seq_len)
        recipe = Recipe(
            tf32=target.precision == "tf32", compatible=target.compatible, profile=profile
        )
        data = model_bytes(_in_precision(model, target, calibration))
        plan = build_plan(data, recipe, TimingCache(self._cache, version, gpu))
        path = directory / "model.engine"
        write_bytes(path, plan.data, flush=False)  # it can be built again
        record = EngineRecord(
            tensorrt=version,
            gpu=gpu.name,
            capability=gpu.capability,
            driver=gpu.driver,
            compatible=target.compatible,
            precision=target.precision,
            profile=profile,
            sizes=sizes,
            device_memory_bytes=plan.device_memory_bytes,
            layers=plan.layers,
            file_bytes=len(plan.data),
            sha256=hashlib.sha256(plan.data).hexdigest(),
        )
        write_record(path, record)
        return artifact_of(path, target, workload)

    def options(self, target: Target) -> dict[str, Any]:
        """See Runtime; the rest is in the engine."""
        return {
            "max_threads": target.threads,
            "host_code": target.compatible == "version",
            "cuda_graph": target.cuda_graph,
        }

    def load(self, artifact: Artifact) -> Session:
        """See Runtime; an engine of another GPU or version is a SurroundingsError."""
        target = artifact.target
        check_target(self, target)
        check_affinity(target)
        path = existing(artifact)
        record = read_record(Path(path))
        data = _bytes_of(path)
        check_bytes(data, record, Path(path))
        version, gpu = self.version(), first_gpu()
        check_place(record, version, gpu)
        if (record.tensorrt, record.driver) != (version, gpu.driver):
            started()  # else it is known to start: the engine was built so
        use_first()
        options = self.options(target)
        engine = Engine(data, path, threads=target.threads, host_code=options["host_code"])
        loaded = TensorRtSession(engine, record, path, target=target, gpu=gpu)
        check_read_back(target, _wanted(target), loaded.properties)
        return loaded


def _wanted(target: Target) -> dict[str, str]:
    """The properties of a session that runs as the target says."""
    level = "AMPERE_PLUS" if target.compatible == "hardware" else "NONE"
    return {
        PRECISION: target.precision,
        "compatible": target.compatible,
        "hardware_compatibility_level": level,
        "max_threads": str(target.threads),
    }


def _is_installed(name: str) -> bool:
    """``cuda`` alone is a namespace that other packages are in, too."""
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:  # of the package around it
        return False


def _bytes_of(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as exc:
        raise InputError(
            f"An engine must be readable, but of {path} the system says: {exc.strerror or exc}; "
            "copy or build it again."
        ) from exc


def _in_precision(
    model: onnx.ModelProto, target: Target, calibration: Sequence[Inputs]
) -> onnx.ModelProto:
    if target.precision in ("fp16", "bf16"):
        return cast_model(model, "fp16" if target.precision == "fp16" else "bf16")
    if target.precision == "int8":
        ranges = activation_ranges(model, calibration)
        return quantize_static(model, ranges, bits=8, symmetric=True)
    return model


def _profile(target: Target, workload: Workload, positions: int) -> Profile:
    """The one shape, or every length at batches up to the workload's (at least four)."""
    usual = (workload.batch, workload.seq_len)
    if target.shapes == "fixed":
        return Profile(least=usual, usual=usual, most=usual)
    if workload.seq_len > positions:
        raise InputError(
            f"A workload's length must be at most the {positions} positions of the network, but "
            f"got {workload.seq_len}; take a shorter one."
        )
    most = (max(workload.batch, _LEAST_BATCH), positions)
    return Profile(least=(1, 1), usual=usual, most=most)


def _check_gpu(target: Target, capability: tuple[int, int]) -> None:
    least = max(_NEEDS[target.precision], (8, 0) if target.compatible == "hardware" else (0, 0))
    if capability < least:
        raise SurroundingsError(
            "The GPU must have compute capability {}.{} for {}, but has {}.{}; choose another "
            "target.".format(*least, target, *capability)
        )
