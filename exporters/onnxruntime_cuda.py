"""ONNX Runtime on a GPU: fp32 with TF32 off or on, fp16, bf16. Never run on a GPU so far."""

from __future__ import annotations

import contextlib
import importlib.util
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import onnx

from exporters._file import existing, write_onnx
from exporters._gpu import able
from exporters._onnxruntime import (
    SPINNING,
    OrtSession,
    open_model,
    ort_library,
    read_back,
    session_options,
)
from exporters.cast import cast_model
from exporters.emit import PRECISION
from exporters.runtime import (
    Artifact,
    Inputs,
    Outputs,
    Runtime,
    Session,
    check_affinity,
    check_read_back,
    check_target,
    said,
)
from fleetfit import (
    DeviceInfo,
    Precision,
    RuntimeMissing,
    SurroundingsError,
    Target,
    Workload,
)

__all__ = ["OnnxRuntimeCuda"]

_PROVIDER: Final = "CUDAExecutionProvider"
_PROCESSOR: Final = "CPUExecutionProvider"
_ASSIGNED: Final = "session.record_ep_graph_assignment_info"
_NEEDS: Final[dict[Precision, tuple[int, int]]] = {
    "fp32": (5, 0),
    "tf32": (8, 0),
    "fp16": (7, 0),
    "bf16": (8, 0),
}
"""Precision to the least compute capability that multiplies it fast."""
_SHAPE_WORK: Final = frozenset(
    {
        "Cast",
        "Concat",
        "MemcpyFromHost",
        "MemcpyToHost",
        "Shape",
        "Size",
        "Squeeze",
        "Unsqueeze",
    }
)
"""All that may run on the processor: a few whole numbers, which are needed there."""


class OnnxRuntimeCuda(Runtime):
    """The CUDA provider alone: where it does not start, nothing else runs in its place.

    int8 is left to TensorRT: this provider has no kernels for the products that are emitted.
    """

    name = "onnxruntime"
    provider = "cuda"
    precisions = tuple(_NEEDS)

    def available(self) -> bool:
        """See Runtime; whether the installed build has the provider, without importing it."""
        found = importlib.util.find_spec("onnxruntime")
        places = [] if found is None else found.submodule_search_locations or []
        return any(list(Path(at, "capi").glob("*onnxruntime_providers_cuda*")) for at in places)

    def version(self) -> str:
        """See Runtime."""
        if not self.available():
            raise RuntimeMissing(
                "onnxruntime-gpu must be installed for this target, not onnxruntime, but is not: "
                "pip install 'fleetfit[cuda]', pip uninstall onnxruntime, then "
                "pip install --force-reinstall --no-deps onnxruntime-gpu."
            )
        return str(ort_library().__version__)

    def targets(self, device: DeviceInfo, *, threads: int) -> tuple[Target, ...]:
        """See Runtime; none without a GPU that is seen (nvidia-ml-py) and able."""
        first = Target(runtime=self.name, provider=self.provider, threads=threads)
        return able(device, first, _NEEDS) if self.available() else ()

    def takes_onnx(self, target: Target) -> bool:
        """See Runtime."""
        return target.precision in ("fp32", "tf32")

    def build(
        self,
        model: onnx.ModelProto,
        target: Target,
        workload: Workload,
        directory: Path,
        *,
        calibration: Sequence[Inputs] = (),
    ) -> Artifact:
        """See Runtime; the artefact is the ONNX file, cast to the precision."""
        check_target(self, target)
        if target.precision in ("fp16", "bf16"):
            model = cast_model(model, "fp16" if target.precision == "fp16" else "bf16")
        return write_onnx(model, target, workload, directory)

    def options(self, target: Target) -> dict[str, Any]:
        """See Runtime: as for processors, and the options of the provider."""
        return {
            "session": session_options(target),
            "entries": {SPINNING: "1" if target.spinning else "0", _ASSIGNED: "1"},
            "providers": [_PROVIDER],
            "provider_options": [
                {
                    # Grows by what is asked for, so that memory is what the network needs.
                    "arena_extend_strategy": "kSameAsRequested",
                    # Else a norm that is fused with its residual sums in fp16.
                    "enable_skip_layer_norm_strict_mode": "1",
                    "use_tf32": "1" if target.precision == "tf32" else "0",
                }
            ],
        }

    def load(self, artifact: Artifact) -> Session:
        """See Runtime."""
        target = artifact.target
        check_target(self, target)
        check_affinity(target)
        self.version()
        library = ort_library()
        told = _preloaded(library)
        if _PROVIDER not in library.get_available_providers():
            raise _not_started(told)
        options = self.options(target)
        inner = open_model(existing(artifact), options)
        if inner.providers[0] != _PROVIDER:  # it falls back to the processor without an error
            raise _not_started(told)
        _check_nodes(inner, target)
        loaded = _CudaSession(inner)
        (details,) = options["provider_options"]
        wanted = read_back(options) | details | {PRECISION: target.precision}
        del wanted[_ASSIGNED]  # changes nothing that is measured
        check_read_back(target, wanted, loaded.properties)
        return loaded


class _CudaSession(Session):
    """The provider's options beside those of every ONNX Runtime session."""

    def __init__(self, inner: OrtSession) -> None:
        self._inner = inner

    @property
    def shape(self) -> tuple[int, int] | None:
        return self._inner.shape

    @property
    def outputs(self) -> tuple[str, ...]:
        return self._inner.outputs

    @property
    def properties(self) -> dict[str, str]:
        found, details = self._inner.properties, self._inner.provider_options
        precision = found[PRECISION]
        if precision == "fp32" and details.get("use_tf32") == "1":
            precision = "tf32"
        told = {key: str(value) for key, value in details.items() if "alloc" not in key}
        on_processor = ",".join(sorted(self._inner.ran_by(_PROCESSOR)))
        own = {"providers": self._inner.providers[0], "nodes_on_processor": on_processor}
        return found | told | own | {PRECISION: precision}

    def run(self, inputs: Inputs) -> Outputs:
        return self._inner.run(inputs)


def _check_nodes(inner: OrtSession, target: Target) -> None:
    others = sorted(inner.ran_by(_PROCESSOR) - _SHAPE_WORK)
    if others:
        raise SurroundingsError(
            f"{target} must run on the GPU, but ONNX Runtime runs {', '.join(others)} on the "
            "processor; choose another precision or update onnxruntime-gpu."
        )


def _preloaded(library: Any) -> str:
    """Load the CUDA and cuDNN that wheels carry; the first line of what is printed about it."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):  # stdout is the verb's own
        try:
            library.preload_dlls()
        except (AttributeError, RuntimeError) as exc:  # too old, or it finds no folder
            print(exc)
    return said(printed.getvalue().strip().partition("\n")[0])


def _not_started(told: str) -> SurroundingsError:
    says = f" and says: {told}" if told else ""
    return SurroundingsError(
        f"ONNX Runtime must start its CUDA provider for this target, but it does not{says}; "
        "check the NVIDIA driver, CUDA and cuDNN (pip install 'fleetfit[cuda]') and the GPU, and "
        "that no plain onnxruntime is installed beside onnxruntime-gpu."
    )
