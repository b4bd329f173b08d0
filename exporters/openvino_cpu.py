"""OpenVINO on the processor. Left alone it would choose bf16 silently."""

from __future__ import annotations

import contextlib
import importlib.util
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import onnx

from exporters._file import existing, write_onnx
from exporters._nncf import write_quantized
from exporters._openvino import ov_core, ov_library
from exporters.emit import PRECISION, SIZES
from exporters.input_rule import InputRule
from exporters.runtime import (
    Artifact,
    Inputs,
    Outputs,
    Runtime,
    Session,
    check_affinity,
    check_calibration,
    check_read_back,
    check_shapes,
    check_target,
    said,
)
from fleetfit import (
    DeviceInfo,
    FleetfitError,
    InputError,
    Precision,
    SurroundingsError,
    Target,
    Workload,
)

__all__ = ["OpenVinoCpu"]

_HINTS: Final = {"fp32": "f32", "bf16": "bf16", "fp16": "f16", "int8": "f32"}
"""Precision to the hint for everything that is not quantised."""
_NEEDS: Final = {"bf16": "BF16", "fp16": "FP16", "int8": "INT8"}
"""Precision to the processor's capability, in OpenVINO's words."""
_TYPE_NAMES: Final = {"float32": "f32", "bfloat16": "bf16", "float16": "f16"}
_PRODUCTS: Final = {"fp32": {"f32"}, "bf16": {"bf16"}, "fp16": {"f16"}, "int8": {"i8", "u8"}}
"""Precision to the types in which the compiled network multiplies weights."""


class OpenVinoCpu(Runtime):
    """One stream, latency hint, ``target.threads`` threads that are not pinned to cores."""

    name = "openvino"
    provider = "cpu"
    precisions = ("fp32", "bf16", "fp16", "int8")

    def available(self) -> bool:
        """See Runtime."""
        return importlib.util.find_spec("openvino") is not None

    def version(self) -> str:
        """See Runtime."""
        return str(ov_library().__version__)

    def targets(self, device: DeviceInfo, *, threads: int) -> tuple[Target, ...]:
        """See Runtime; bf16 and fp16 where the processor multiplies them, int8 with NNCF."""
        if not self.available():
            return ()
        native: list[tuple[Precision, bool]] = [
            ("fp32", True),
            ("bf16", device.has_bf16),
            ("fp16", device.has_fp16),
            ("int8", importlib.util.find_spec("nncf") is not None),
        ]
        return tuple(
            Target(runtime=self.name, precision=precision, threads=threads)
            for precision, is_native in native
            if is_native
        )

    def takes_onnx(self, target: Target) -> bool:
        """See Runtime."""
        return target.precision != "int8"

    def build(
        self,
        model: onnx.ModelProto,
        target: Target,
        workload: Workload,
        directory: Path,
        *,
        calibration: Sequence[Inputs] = (),
    ) -> Artifact:
        """See Runtime; the artefact is the ONNX file, for int8 OpenVINO's own form."""
        check_target(self, target)
        check_calibration(target, calibration)
        if target.precision != "int8":
            return write_onnx(model, target, workload, directory)
        check_shapes(model, target, workload)
        return write_quantized(model, target, workload, directory, calibration)

    def options(self, target: Target) -> dict[str, Any]:
        """See Runtime: device, properties, and what the processor must be able to do."""
        return {
            "device": "CPU",
            "needs": [_NEEDS[target.precision]] if target.precision in _NEEDS else [],
            "properties": {
                "ENABLE_CPU_PINNING": "NO",
                "EXECUTION_MODE_HINT": "PERFORMANCE",
                "INFERENCE_NUM_THREADS": str(target.threads),
                "INFERENCE_PRECISION_HINT": _HINTS[target.precision],
                "NUM_STREAMS": "1",
                "PERFORMANCE_HINT": "LATENCY",
            },
        }

    def load(self, artifact: Artifact) -> Session:
        """See Runtime; bf16 or fp16 on a processor without it is a SurroundingsError."""
        target = artifact.target
        check_target(self, target)
        check_affinity(target)
        core = ov_core()
        options = self.options(target)
        if not set(options["needs"]) <= set(capabilities()):
            raise SurroundingsError(
                f"The processor must multiply {target.precision} natively for this target, but it "
                "does not; choose fp32."
            )
        path = existing(artifact)
        with _asked_to(f"read {path}", InputError, "build or export it again"):
            model = core.read_model(path)
        with _asked_to(f"compile {path}", SurroundingsError, "choose another target"):
            compiled = core.compile_model(model, options["device"], options["properties"])
            request = compiled.create_infer_request()
        # Names and metadata need not be text.
        with _asked_to(f"run {path}", InputError, "build or export it again"):
            loaded = _OpenVinoSession(model, compiled, request, path)
        wanted = options["properties"] | {PRECISION: target.precision}
        check_read_back(target, wanted, loaded.properties)
        return loaded


@contextlib.contextmanager
def _asked_to(do: str, kind: type[FleetfitError], advice: str) -> Iterator[None]:
    """Turn whatever OpenVINO raises, a plain RuntimeError mostly, into ``kind``."""
    try:
        yield
    except FleetfitError:
        raise
    except Exception as exc:
        raise kind(_refusal(do, advice, exc)) from exc


def _refusal(do: str, advice: str, exc: Exception) -> str:
    return f"OpenVINO must be able to {do}, but says: {said(exc).rstrip('.')}; {advice}."


class _OpenVinoSession(Session):
    def __init__(self, model: Any, compiled: Any, request: Any, path: str) -> None:
        self._compiled, self._request = compiled, request
        self._outputs = tuple(o.get_any_name() for o in compiled.outputs)
        inputs = {i.get_any_name(): _dims(i.get_partial_shape()) for i in compiled.inputs}
        self._rule = InputRule.of(path, inputs, _metadata(model))
        self._lock = threading.Lock()  # one request
        self._own: dict[str, npt.NDArray[np.int64]] = {}
        self._filled: tuple[int, ...] = ()

    @property
    def shape(self) -> tuple[int, int] | None:
        return self._rule.shape

    @property
    def outputs(self) -> tuple[str, ...]:
        return self._outputs

    @property
    def properties(self) -> dict[str, str]:
        found = {key: _text(self._compiled.get_property(key)) for key in _READ}
        return found | {PRECISION: _precision(self._compiled)}

    def run(self, inputs: Inputs) -> Outputs:
        self._rule.check(inputs)
        with self._lock:
            try:
                self._fill(inputs)
                found = self._request.infer()  # copies the outputs
            except Exception as exc:  # not of the inputs: the rule has passed them
                do = f"run the network on {list(inputs['input_ids'].shape)}"
                advice = "free memory, take a smaller batch, or build the network again"
                raise SurroundingsError(_refusal(do, advice, exc)) from exc
            return dict(zip(self._outputs, found.to_tuple(), strict=True))

    def _fill(self, inputs: Inputs) -> None:
        """Copy into the request's own tensors: handing over new ones takes 0.1 ms a run."""
        shape = inputs["input_ids"].shape
        if shape != self._filled:
            self._filled = ()  # should one of the tensors be refused
            tensors = {name: ov_library().Tensor(np.int64, shape) for name in inputs}
            for name, tensor in tensors.items():
                self._request.set_tensor(name, tensor)
            self._own = {name: tensor.data for name, tensor in tensors.items()}
            self._filled = shape
        for name, values in inputs.items():
            self._own[name][:] = values


_READ = (
    *OpenVinoCpu().options(Target(runtime="openvino"))["properties"],
    "EXECUTION_DEVICES",
    "ENABLE_HYPER_THREADING",
)


def _metadata(model: Any) -> dict[str, str]:
    """What an emitted model says of its sizes; OpenVINO keeps ONNX's metadata there."""
    places = {name: ["framework", name] for name in SIZES}
    return {
        name: str(model.get_rt_info(where).value)
        for name, where in places.items()
        if model.has_rt_info(where)
    }


def _precision(compiled: Any) -> str:
    """The precision in which a compiled network multiplies by weights; "mixed" for several."""
    types = set()
    for op in compiled.get_runtime_model().get_ops():
        info = op.get_rt_info()
        if str(info["layerType"].value) == "FullyConnected":
            types.add(str(info["runtimePrecision"].value))
    fitting = [name for name, wanted in _PRODUCTS.items() if types and types <= wanted]
    return fitting[0] if fitting else "mixed: " + ", ".join(sorted(types))


def _dims(shape: Any) -> list[int | None]:
    """Sizes, None where not fixed; no dimensions where not even their number is."""
    if shape.rank.is_dynamic:
        return []
    return [int(d.get_length()) if d.is_static else None for d in shape]


def _text(value: Any) -> str:
    """A property as the text it is set by."""
    if isinstance(value, bool):
        return "YES" if value else "NO"
    if isinstance(value, list):
        return ",".join(map(str, value))
    if hasattr(value, "get_type_name"):
        return _TYPE_NAMES.get(value.to_string(), str(value.get_type_name()))
    return str(getattr(value, "name", value))


def capabilities() -> tuple[str, ...]:
    """What OpenVINO says the processor can do natively, as in BF16."""
    return tuple(ov_core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"))
