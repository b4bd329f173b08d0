"""CUDA's runtime, for memory, streams, events and graphs; the one module that imports ``cuda``.

Everything is on the first visible GPU (CUDA_VISIBLE_DEVICES) and freed when its object goes.
"""

from __future__ import annotations

import ctypes
import functools
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fleetfit import RuntimeMissing, SurroundingsError

__all__ = ["CudaGraph", "Gpu", "Pair", "Stream", "Timer", "cuda_library", "first_gpu"]

_DEVICE = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Gpu:
    """What decides whether an engine fits."""

    name: str
    capability: tuple[int, int]
    """CUDA's compute capability."""
    driver: int
    """The newest CUDA that the driver knows, as in 13000 for 13.0."""

    def __str__(self) -> str:
        """For sentences."""
        return "{}, compute capability {}.{}".format(self.name, *self.capability)


def cuda_library() -> Any:
    """The module of CUDA's runtime; raises RuntimeMissing."""
    try:
        from cuda.bindings import runtime
    except ImportError as exc:
        raise RuntimeMissing(
            "cuda-bindings must be installed for this target, but it is not: "
            "pip install 'fleetfit[tensorrt]'."
        ) from exc
    return runtime


def first_gpu() -> Gpu:
    """The GPU that is used; raises RuntimeMissing, and SurroundingsError without GPU or driver.

    Unlike TensorRT, which may end the process, this can be asked on any machine.
    """
    library = cuda_library()
    error, count = library.cudaGetDeviceCount()
    if int(error) != 0 or count < 1:
        raise SurroundingsError(
            "An NVIDIA GPU and its driver must be there for this target, but CUDA says: "
            f"{_text(library, error) if int(error) else 'no GPU is visible'}; install or update "
            "the driver, or choose a target for processors."
        )
    attributes = library.cudaDeviceAttr
    major, minor = (
        call("cudaDeviceGetAttribute", which, _DEVICE)
        for which in (
            attributes.cudaDevAttrComputeCapabilityMajor,
            attributes.cudaDevAttrComputeCapabilityMinor,
        )
    )
    name = call("cudaGetDeviceProperties", _DEVICE).name
    text = name.decode(errors="replace") if isinstance(name, bytes) else str(name)
    return Gpu(
        name=text.rstrip("\0"),
        capability=(int(major), int(minor)),
        driver=int(call("cudaDriverGetVersion")),
    )


def call(function: str, *args: Any) -> Any:
    """Call a function of CUDA's runtime; its value, None where it has none.

    Raises SurroundingsError with CUDA's own words.
    """
    library = cuda_library()
    error, *values = getattr(library, function)(*args)
    if int(error) != 0:
        raise SurroundingsError(
            f"The GPU must take {function}, but CUDA says: {_text(library, error)}; free its "
            "memory, look after its driver, or leave this target out."
        )
    return values[0] if values else None


def _text(library: Any, error: Any) -> str:
    _, text = library.cudaGetErrorString(error)
    said = text.decode(errors="replace") if isinstance(text, bytes) else str(text)
    return f"{said} (error {int(error)})"


def _freed_with(owner: object, function: str, handle: Any) -> None:
    """Give ``handle`` back when ``owner`` goes, at the latest when the interpreter ends."""
    free: Callable[[Any], Any] = getattr(cuda_library(), function)
    weakref.finalize(owner, free, handle)


class Stream:
    """A queue of its own, beside the default one, which would wait for all others."""

    def __init__(self) -> None:
        """An empty queue."""
        flags = cuda_library().cudaStreamNonBlocking
        self.raw = call("cudaStreamCreateWithFlags", flags)
        _freed_with(self, "cudaStreamDestroy", self.raw)

    @property
    def handle(self) -> int:
        """As other libraries take it."""
        return int(self.raw)

    def wait(self) -> None:
        """Until everything in the queue is done."""
        call("cudaStreamSynchronize", self.raw)


class Pair:
    """An array in memory of the GPU and one like it, page-locked, in memory of the host."""

    def __init__(self, shape: tuple[int, ...], dtype: npt.DTypeLike) -> None:
        """Of at least one byte; ``shape`` may not change afterwards."""
        self.dtype, self.shape = np.dtype(dtype), shape
        self.size_bytes = max(1, int(np.prod(shape)) * self.dtype.itemsize)
        self.device = int(call("cudaMalloc", self.size_bytes))
        _freed_with(self, "cudaFree", self.device)
        address = int(call("cudaMallocHost", self.size_bytes))
        _freed_with(self, "cudaFreeHost", address)
        self._address = address
        self.host = _array_at(address, self)
        """Valid as long as this object is there."""

    def to_device(self, stream: Stream) -> None:
        """Queue the copy."""
        kind = cuda_library().cudaMemcpyKind.cudaMemcpyHostToDevice
        call("cudaMemcpyAsync", self.device, self._address, self.size_bytes, kind, stream.raw)

    def to_host(self, stream: Stream) -> None:
        """Queue the copy."""
        kind = cuda_library().cudaMemcpyKind.cudaMemcpyDeviceToHost
        call("cudaMemcpyAsync", self._address, self.device, self.size_bytes, kind, stream.raw)


def _array_at(address: int, pair: Pair) -> npt.NDArray[Any]:
    """The host's memory there as an array."""
    block: Any = (ctypes.c_char * pair.size_bytes).from_address(address)
    return np.ndarray(pair.shape, dtype=pair.dtype, buffer=block)


class Timer:
    """Two events in a stream and the time between them by the GPU's clock."""

    def __init__(self, stream: Stream) -> None:
        """Nothing is recorded yet."""
        self._stream = stream
        self._events = (call("cudaEventCreate"), call("cudaEventCreate"))
        for event in self._events:
            _freed_with(self, "cudaEventDestroy", event)

    def start(self) -> None:
        """Queue the first event."""
        call("cudaEventRecord", self._events[0], self._stream.raw)

    def stop(self) -> None:
        """Queue the second event."""
        call("cudaEventRecord", self._events[1], self._stream.raw)

    def seconds(self) -> float:
        """Between the two, once the stream has passed both."""
        return float(call("cudaEventElapsedTime", *self._events)) / 1e3


class CudaGraph:
    """What a call puts into a stream, recorded once and replayed with one launch."""

    def __init__(self, stream: Stream, enqueue: Callable[[], None]) -> None:
        """Record ``enqueue``, which must have run before, so that nothing is allocated in it."""
        library = cuda_library()
        # Of this thread only: others may go on with CUDA meanwhile.
        mode = library.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        call("cudaStreamBeginCapture", stream.raw, mode)
        try:
            enqueue()
        except BaseException:
            library.cudaStreamEndCapture(stream.raw)  # else the stream takes nothing any more
            raise
        graph = call("cudaStreamEndCapture", stream.raw)
        _freed_with(self, "cudaGraphDestroy", graph)
        self._ready = call("cudaGraphInstantiate", graph, 0)
        _freed_with(self, "cudaGraphExecDestroy", self._ready)
        self._launch = functools.partial(call, "cudaGraphLaunch", self._ready, stream.raw)

    def launch(self) -> None:
        """Queue everything that was recorded."""
        self._launch()
