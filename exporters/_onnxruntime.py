"""ONNX Runtime's sessions and errors, for every provider."""

from __future__ import annotations

import os
import re
from typing import Any, Final

from exporters.emit import PRECISION
from exporters.input_rule import InputRule, wrong_inputs
from exporters.runtime import Inputs, Outputs, Session, said
from fleetfit import FleetfitError, InputError, RuntimeMissing, SurroundingsError, Target

__all__ = ["SPINNING", "OrtSession", "open_model", "ort_library", "read_back", "session_options"]

_FATAL: Final = 4
SPINNING: Final = "session.intra_op.allow_spinning"
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
    "UnicodeDecodeError": InputError,
}
"""Exception to ours while loading; one that is not here is the surroundings' too."""
_MACHINE: Final = re.compile(r"CUDA|CUBLAS|CUDNN|provider option")
"""In the words of an error: not the model is at fault, whatever its class."""
_GRAPH_INFO_VERSION: Final = "1.24.1"


def open_model(model: str | bytes, options: dict[str, Any]) -> OrtSession:
    """Load a file, or the bytes of one, with ``Runtime.options``.

    Raises InputError for what is no model, SurroundingsError where the machine cannot do it, and
    RuntimeMissing.
    """
    library, path = ort_library(), model if isinstance(model, str) else "the model"
    given = _session_options(library, options)
    try:
        # Without fallback: it would put the processor in the place of a GPU that fails in a run.
        session = library.InferenceSession(
            model,
            sess_options=given,
            providers=options["providers"],
            enable_fallback=0,
            provider_options=options.get("provider_options"),
        )
        session.disable_fallback()  # for versions that take no notice of the option
        return OrtSession(session, path)  # reads names and metadata, which need not be text
    except FleetfitError:
        raise
    except Exception as exc:  # the vendor's classes share no base but Exception
        kind = _ERRORS.get(type(exc).__name__, SurroundingsError)
        if _MACHINE.search(str(exc).replace(path, "")):
            kind = SurroundingsError
        raise kind(
            f"ONNX Runtime must be able to load {path}, but says: {said(exc).rstrip('.')}; build "
            "or export it again, or choose another target."
        ) from exc


class OrtSession(Session):
    """One InferenceSession; it takes calls from many threads by itself."""

    def __init__(self, session: Any, path: str) -> None:
        self._session = session
        self._outputs = tuple(o.name for o in session.get_outputs())
        inputs = {i.name: i.shape for i in session.get_inputs()}
        self.metadata: dict[str, str] = dict(session.get_modelmeta().custom_metadata_map)
        self._rule = InputRule.of(path, inputs, self.metadata)

    @property
    def shape(self) -> tuple[int, int] | None:
        return self._rule.shape

    @property
    def outputs(self) -> tuple[str, ...]:
        return self._outputs

    @property
    def provider_options(self) -> dict[str, str]:
        """Of the first provider, read back."""
        found: dict[str, str] = self._session.get_provider_options()[self.providers[0]]
        return found

    @property
    def providers(self) -> tuple[str, ...]:
        """The one asked for first, unless ONNX Runtime fell back to another."""
        return tuple(self._session.get_providers())

    def ran_by(self, provider: str) -> frozenset[str]:
        """Kinds of the nodes that a provider runs.

        The entry ``session.record_ep_graph_assignment_info`` must be set. Raises SurroundingsError
        where ONNX Runtime does not tell.
        """
        try:
            parts = self._session.get_provider_graph_assignment_info()
            nodes = [(part.ep_name, str(n.op_type)) for part in parts for n in part.get_nodes()]
        except Exception as exc:  # AttributeError before that version, or the vendor's own
            raise _untold(said(exc)) from exc
        if not nodes:
            raise _untold("nothing")
        return frozenset(op for name, op in nodes if name == provider)

    @property
    def properties(self) -> dict[str, str]:
        options = self._session.get_session_options()
        return {
            "enable_cpu_mem_arena": str(options.enable_cpu_mem_arena),
            "execution_mode": options.execution_mode.name,
            "graph_optimization_level": options.graph_optimization_level.name,
            "inter_op_num_threads": str(options.inter_op_num_threads),
            "intra_op_num_threads": str(options.intra_op_num_threads),
            "providers": ",".join(self.providers),
            SPINNING: options.get_session_config_entry(SPINNING),
            PRECISION: self.metadata.get(PRECISION, "fp32"),
        }

    def run(self, inputs: Inputs) -> Outputs:
        self._rule.check(inputs)
        try:
            values = self._session.run(self._outputs, inputs)
        except Exception as exc:  # as in load
            raise _failed(inputs, exc, self.providers[0]) from exc
        return dict(zip(self._outputs, values, strict=True))


def _failed(inputs: Inputs, exc: Exception, provider: str) -> FleetfitError:
    """The error for a run: the inputs' fault only where ONNX Runtime says so."""
    if re.search("alloc|out of memory", str(exc), re.IGNORECASE):
        shapes = sorted({str(list(values.shape)) for values in inputs.values()})
        return SurroundingsError(
            f"Memory must suffice to run the network on {', '.join(shapes)}, but ONNX Runtime "
            f"says: {said(exc)}; free some, or take a smaller batch, length or network."
        )
    if type(exc).__name__ == "InvalidArgument" and not _MACHINE.search(str(exc)):
        return wrong_inputs(inputs, exc)
    return SurroundingsError(
        f"{provider} must run the network, but ONNX Runtime says: {said(exc)}; check the "
        "device and its driver, or choose another target."
    )


def _untold(told: str) -> SurroundingsError:
    return SurroundingsError(
        "ONNX Runtime must tell which nodes a provider runs, but says: "
        f"{told}; pip install 'onnxruntime-gpu>={_GRAPH_INFO_VERSION}'."
    )


def session_options(target: Target) -> dict[str, Any]:
    """Attributes of ORT's SessionOptions: all optimisations, one pool of threads."""
    return {
        "execution_mode": "ORT_SEQUENTIAL",
        "graph_optimization_level": "ORT_ENABLE_ALL",
        "inter_op_num_threads": 1,
        "intra_op_num_threads": target.threads,
        # Errors come back as exceptions; the log would only repeat them on stderr.
        "log_severity_level": _FATAL,
    }


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


def read_back(options: dict[str, Any]) -> dict[str, str]:
    """The properties of a session that took the options."""
    session = {k: str(v) for k, v in options["session"].items() if k != "log_severity_level"}
    entries: dict[str, str] = options["entries"]
    return session | entries | {"providers": ",".join(options["providers"])}


def ort_library() -> Any:
    """The module; raises RuntimeMissing."""
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
