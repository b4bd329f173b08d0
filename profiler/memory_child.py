"""Peak memory of a process that only loads and runs a model: a script, started by its path.

It imports the runtime and numpy and nothing of this project, whose own libraries would stand in
the peak. So it is told everything, and has its own few lines for the child's side of a worker
(``devices.child``). Nothing is timed here, and nothing is built here.

The peak is VmHWM, which starts anew at exec and is set back before every stage, where the kernel
allows that; the peak up to a stage is the largest so far. ``ru_maxrss`` is never used: it is
inherited across fork and exec, so the child of a large parent would report its parent's peak.
Nor is VmPeak, which counts addresses, not memory.
"""

from __future__ import annotations

import contextlib
import ctypes
import io
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from typing import Any, Final

import numpy as np

__all__ = ["LOADERS", "measure"]

_STATUS: Final = "/proc/self/status"
_ROLLUP: Final = "/proc/self/smaps_rollup"
_CLEAR: Final = "/proc/self/clear_refs"
_RESET_PEAK: Final = "5"
_PR_SET_PDEATHSIG: Final = 1

Run = Callable[[dict[str, Any]], Any]
Load = Callable[[str, dict[str, Any]], tuple[Any, Run]]


def measure(job: dict[str, Any]) -> list[dict[str, Any]]:
    """Load and run as ``profiler.memory`` asks; a reading in bytes after each stage.

    Raises ImportError where the runtime is not installed and whatever the runtime raises.
    """
    if job["affinity"]:
        os.sched_setaffinity(0, job["affinity"])
    readings: list[dict[str, Any]] = []
    library, load = LOADERS[job["runtime"]]
    library()
    fresh = _read("imports", readings, fresh=True)
    _, run = load(job["model"], job["options"])
    fresh = _read("load", readings, fresh=fresh)
    stack = np.load(job["inputs"], allow_pickle=False)
    inputs = [dict(zip(job["names"], row, strict=True)) for row in stack]
    for values in inputs:
        run(values)
    fresh = _read("warm", readings, fresh=fresh)
    end = time.monotonic() + job["at_most_s"]
    for number in range(job["runs"]):
        if time.monotonic() > end:
            break
        run(inputs[number % len(inputs)])
    _read("steady", readings, fresh=fresh)
    return readings


def _onnxruntime() -> Any:
    import onnxruntime

    return onnxruntime


def _load_onnxruntime(path: str, options: dict[str, Any]) -> tuple[Any, Run]:
    library = _onnxruntime()
    names = {
        "execution_mode": library.ExecutionMode,
        "graph_optimization_level": library.GraphOptimizationLevel,
    }
    given = library.SessionOptions()
    for key, value in options["session"].items():
        setattr(given, key, getattr(names[key], value) if key in names else value)
    for key, value in options["entries"].items():
        given.add_session_config_entry(key, value)
    providers = options["providers"]
    more = options.get("provider_options")
    printed = io.StringIO()
    if more:  # of the wheels that carry CUDA and cuDNN
        with contextlib.redirect_stdout(printed):
            library.preload_dlls()
    session = library.InferenceSession(
        path,
        sess_options=given,
        providers=providers,
        provider_options=more,
        enable_fallback=0,
    )
    session.disable_fallback()
    if more and session.get_providers()[0] != providers[0]:  # it falls back without an error
        told = printed.getvalue().strip().partition("\n")[0]
        raise RuntimeError(f"{providers[0]} does not start here; {told}".rstrip("; "))
    outputs = [o.name for o in session.get_outputs()]
    return session, lambda inputs: session.run(outputs, inputs)


def _openvino() -> Any:
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # no calls home
    import openvino

    return openvino


def _load_openvino(path: str, options: dict[str, Any]) -> tuple[Any, Run]:
    core, device = _openvino().Core(), options["device"]
    lacking = set(options["needs"]) - set(core.get_property(device, "OPTIMIZATION_CAPABILITIES"))
    if lacking:  # it would take another precision and not say so
        raise RuntimeError(f"the processor does not have {', '.join(sorted(lacking))}")
    compiled = core.compile_model(core.read_model(path), device, options["properties"])
    request = compiled.create_infer_request()
    return compiled, lambda inputs: request.infer(inputs, share_inputs=True)


def _tensorrt() -> Any:
    import tensorrt

    return tensorrt


def _load_tensorrt(path: str, options: dict[str, Any]) -> tuple[Any, Run]:
    engine = _Engine(path, options)
    return engine, engine.run


class _Engine:
    """TensorRT's engine with page-locked buffers; all inputs have one shape."""

    def __init__(self, path: str, options: dict[str, Any]) -> None:
        import tensorrt as trt

        self._runtime = trt.Runtime(trt.Logger(trt.Logger.ERROR))
        self._runtime.max_threads = options["max_threads"]
        self._runtime.engine_host_code_allowed = options["host_code"]
        with open(path, "rb") as file:  # noqa: PTH123 - as below
            engine = self._runtime.deserialize_cuda_engine(file.read())
        context = None if engine is None else engine.create_execution_context()
        if engine is None or context is None:
            raise RuntimeError("TensorRT does not load the engine here")
        self._engine, self._context = engine, context
        names = [engine.get_tensor_name(i) for i in range(engine.num_io_tensors)]
        self._outputs = [n for n in names if engine.get_tensor_mode(n) == trt.TensorIOMode.OUTPUT]
        self._stream = _cuda("cudaStreamCreateWithFlags", 1)  # cudaStreamNonBlocking
        self._places: dict[str, tuple[int, int, Any]] = {}

    def run(self, inputs: dict[str, Any]) -> list[Any]:
        if not self._places:
            self._make_room(inputs)
        for name, values in inputs.items():
            there, here, array = self._places[name]
            array[:] = values
            _cuda("cudaMemcpyAsync", there, here, array.nbytes, _COPY[0], self._stream)
        if not self._context.execute_async_v3(int(self._stream)):
            raise RuntimeError("TensorRT does not run the engine here")
        for name in self._outputs:
            there, here, array = self._places[name]
            _cuda("cudaMemcpyAsync", here, there, array.nbytes, _COPY[1], self._stream)
        _cuda("cudaStreamSynchronize", self._stream)
        return [self._places[name][2].copy() for name in self._outputs]

    def _make_room(self, inputs: dict[str, Any]) -> None:
        for name, values in inputs.items():
            if not self._context.set_input_shape(name, values.shape):
                raise RuntimeError(f"TensorRT does not take {values.shape} for {name}")
            self._place(name, values.shape)
        for name in self._outputs:
            self._place(name, tuple(self._context.get_tensor_shape(name)))

    def _place(self, name: str, shape: tuple[int, ...]) -> None:
        """Room on the GPU, and page-locked on the host."""
        import tensorrt as trt

        dtype = np.dtype(trt.nptype(self._engine.get_tensor_dtype(name)))
        size = int(np.prod(shape)) * dtype.itemsize
        here, there = int(_cuda("cudaMallocHost", size)), int(_cuda("cudaMalloc", size))
        block: Any = (ctypes.c_char * size).from_address(here)
        self._places[name] = there, here, np.ndarray(shape, dtype=dtype, buffer=block)
        if not self._context.set_tensor_address(name, there):
            raise RuntimeError(f"TensorRT does not take memory for {name}")


_COPY: Final = ("cudaMemcpyHostToDevice", "cudaMemcpyDeviceToHost")


def _cuda(function: str, *args: Any) -> Any:
    """A call of CUDA's runtime: its value; a copy's direction is given by name."""
    from cuda.bindings import runtime

    given = [getattr(runtime.cudaMemcpyKind, a) if isinstance(a, str) else a for a in args]
    error, *values = getattr(runtime, function)(*given)
    if int(error) != 0:
        raise RuntimeError(f"{function} fails with CUDA's error {int(error)}")
    return values[0] if values else None


LOADERS: Final[dict[str, tuple[Callable[[], Any], Load]]] = {
    "onnxruntime": (_onnxruntime, _load_onnxruntime),
    "openvino": (_openvino, _load_openvino),
    "tensorrt": (_tensorrt, _load_tensorrt),
}
"""Runtime to what imports its library, and what loads a model with the options of its adapter.

A loader returns the loaded object and what runs it.
"""


def _read(stage: str, readings: list[dict[str, Any]], *, fresh: bool) -> bool:
    """Add the reading of a stage; ``fresh``: its peak began with it. Returns the next one's."""
    peak = _lines(_STATUS).get("VmHWM")
    if peak is None:
        raise OSError(f"{_STATUS} must give VmHWM, which Linux does, but this system does not")
    now = _lines(_ROLLUP)  # absent before Linux 4.14
    private = [now[key] for key in ("Private_Clean", "Private_Dirty") if key in now]
    reading = {
        "stage": stage,
        "peak_bytes": max([peak, *(r["peak_bytes"] for r in readings)]),
        "stage_peak_bytes": peak if fresh else None,
        "resident_bytes": now.get("Rss"),
        "proportional_bytes": now.get("Pss"),
        "unique_bytes": sum(private) if private else None,
    }
    readings.append(reading)
    try:
        with open(_CLEAR, "w") as file:  # noqa: PTH123 - pathlib is one more import
            file.write(_RESET_PEAK)
    except OSError:
        return False
    return True


def _lines(path: str) -> dict[str, int]:
    """Name to bytes of every line with a size in kB; empty where the file is not there."""
    found = {}
    with contextlib.suppress(OSError), open(path) as lines:  # noqa: PTH123 - one import less
        for line in lines:
            name, _, rest = line.partition(":")
            words = rest.split()
            if len(words) == 2 and words[1] == "kB" and words[0].isdigit():
                found[name] = int(words[0]) * 1024
    return found


def _answer(line: bytes) -> dict[str, Any]:
    try:
        return {"result": measure(json.loads(line))}
    except ImportError as exc:
        message = f"The runtime must be installed to measure its memory, but Python says: {exc}."
        return {"error": "RuntimeMissing", "message": message}
    except Exception as exc:
        said = " ".join(str(exc).split())[:300]
        return {"error": "", "message": f"{type(exc).__name__}: {said}"}


def _die_with_parent() -> None:
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != int(os.environ["FLEETFIT_PARENT"]):  # it died before we asked
        os._exit(1)


def _main() -> None:
    _die_with_parent()
    reply = _answer(sys.stdin.buffer.readline())
    with contextlib.suppress(BrokenPipeError):  # the parent is gone
        os.write(int(os.environ["FLEETFIT_RESULT_FD"]), json.dumps(reply).encode() + b"\n")


if __name__ == "__main__":
    _main()
