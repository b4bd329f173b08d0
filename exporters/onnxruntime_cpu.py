"""ONNX Runtime on the processor, fp32."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from typing import Any

import onnx

from exporters._file import existing, write_onnx
from exporters.emit import LONGEST
from exporters.runtime import (
    Artifact,
    InputRule,
    Inputs,
    Outputs,
    Runtime,
    Session,
    check_affinity,
    check_read_back,
    check_target,
    said,
    wrong_inputs,
)
from fleetfit import (
    DeviceInfo,
    FleetfitError,
    InputError,
    RuntimeMissing,
    RuntimeName,
    SurroundingsError,
    Target,
    Workload,
)

__all__ = ["OnnxRuntimeCpu", "plain_session"]

_SPINNING = "session.intra_op.allow_spinning"
_FATAL = 4
_ERRORS: dict[str, type[FleetfitError]] = {
    "DeviceReset": SurroundingsError,
    "EPFail": SurroundingsError,
    "EngineError": SurroundingsError,
    "Fail": InputError,
    "InvalidArgument": InputError,
    "InvalidGraph": InputError,
    "InvalidProtobuf": InputError,
    "ModelLoadCanceled": SurroundingsError,
    "ModelLoaded": SurroundingsError,
    "ModelRequiresCompilation": InputError,
    "NoModel": InputError,
    "NoSuchFile": InputError,
    "NotFound": InputError,
    "NotImplemented": InputError,
    "RuntimeException": SurroundingsError,
}
"""Vendor exception to ours while loading; one that is not here is the surroundings' too."""


class OnnxRuntimeCpu(Runtime):
    """Sequential execution, one pool of ``target.threads`` threads, all optimisations."""

    @property
    def name(self) -> RuntimeName:
        """See Runtime."""
        return "onnxruntime"

    def available(self) -> bool:
        """See Runtime."""
        return importlib.util.find_spec("onnxruntime") is not None

    def version(self) -> str:
        """See Runtime."""
        return str(_library().__version__)

    def targets(self, device: DeviceInfo, *, threads: int) -> tuple[Target, ...]:
        """See Runtime."""
        return (Target(runtime=self.name, threads=threads),) if self.available() else ()

    def build(
        self, model: onnx.ModelProto, target: Target, workload: Workload, directory: Path
    ) -> Artifact:
        """See Runtime; the artefact is the ONNX file."""
        check_target(self.name, ("fp32",), target)
        return write_onnx(model, target, workload, directory)

    def options(self, target: Target) -> dict[str, Any]:
        """See Runtime: attributes of the session options, configuration entries, providers."""
        return {
            "session": {
                "execution_mode": "ORT_SEQUENTIAL",
                "graph_optimization_level": "ORT_ENABLE_ALL",
                "inter_op_num_threads": 1,
                "intra_op_num_threads": target.threads,
                # Errors come back as exceptions; the log would only repeat them on stderr.
                "log_severity_level": _FATAL,
            },
            "entries": {_SPINNING: "1" if target.spinning else "0"},
            "providers": ["CPUExecutionProvider"],
        }

    def load(self, artifact: Artifact) -> Session:
        """See Runtime."""
        target = artifact.target
        check_target(self.name, ("fp32",), target)
        check_affinity(target)
        options = self.options(target)
        loaded = _open(existing(artifact), options)
        check_read_back(target, _read_back(options), loaded.properties)
        return loaded


def plain_session(path: str) -> Session:
    """The model as it stands: fp32, one thread, no optimisation; what others are compared with.

    Raises as ``OnnxRuntimeCpu.load``.
    """
    options = OnnxRuntimeCpu().options(Target(runtime="onnxruntime"))
    options["session"]["graph_optimization_level"] = "ORT_DISABLE_ALL"
    return _open(path, options)


def _open(path: str, options: dict[str, Any]) -> _OrtSession:
    library = _library()
    given = _session_options(library, options)
    try:
        session = library.InferenceSession(path, sess_options=given, providers=options["providers"])
    except Exception as exc:  # the vendor's classes share no base but Exception
        kind = _ERRORS.get(type(exc).__name__, SurroundingsError)
        raise kind(f"ONNX Runtime must be able to load {path}, but says: {said(exc)}") from exc
    return _OrtSession(session, path)


class _OrtSession(Session):
    def __init__(self, session: Any, path: str) -> None:
        self._session = session
        self._outputs = tuple(o.name for o in session.get_outputs())
        inputs = {i.name: i.shape for i in session.get_inputs()}
        longest = session.get_modelmeta().custom_metadata_map.get(LONGEST)
        self._rule = InputRule.of(path, inputs, longest)

    @property
    def shape(self) -> tuple[int, int] | None:
        return self._rule.shape

    @property
    def outputs(self) -> tuple[str, ...]:
        return self._outputs

    @property
    def properties(self) -> dict[str, str]:
        options = self._session.get_session_options()
        return {
            "enable_cpu_mem_arena": str(options.enable_cpu_mem_arena),
            "execution_mode": options.execution_mode.name,
            "graph_optimization_level": options.graph_optimization_level.name,
            "inter_op_num_threads": str(options.inter_op_num_threads),
            "intra_op_num_threads": str(options.intra_op_num_threads),
            "providers": ",".join(self._session.get_providers()),
            _SPINNING: options.get_session_config_entry(_SPINNING),
        }

    def run(self, inputs: Inputs) -> Outputs:
        self._rule.check(inputs)
        try:
            values = self._session.run(self._outputs, inputs)
        except Exception as exc:  # as in load
            if "alloc" in str(exc).lower():
                raise SurroundingsError("Memory must suffice to run the network.") from exc
            raise wrong_inputs(inputs, exc) from exc
        return dict(zip(self._outputs, values, strict=True))


def _session_options(library: Any, options: dict[str, Any]) -> Any:
    names = {
        "execution_mode": library.ExecutionMode,
        "graph_optimization_level": library.GraphOptimizationLevel,
    }
    given = library.SessionOptions()
    for key, value in options["session"].items():
        setattr(given, key, getattr(names[key], value) if key in names else value)
    for key, value in options["entries"].items():
        given.add_session_config_entry(key, value)
    return given


def _read_back(options: dict[str, Any]) -> dict[str, str]:
    """The properties of a session that took the options."""
    session = {k: str(v) for k, v in options["session"].items() if k != "log_severity_level"}
    entries: dict[str, str] = options["entries"]
    return session | entries | {"providers": ",".join(options["providers"])}


def _library() -> Any:
    # Official wheels report usage by default from 1.29 on.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    try:
        import onnxruntime
    except ImportError as exc:
        raise RuntimeMissing(
            "ONNX Runtime must be installed for this target, but it is not: "
            "pip install onnxruntime."
        ) from exc
    return onnxruntime
