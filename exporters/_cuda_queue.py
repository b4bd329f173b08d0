"""Memory, streams, events and graphs of CUDA, each freed when its object goes."""

from __future__ import annotations

import ctypes
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from exporters._cuda import bound, call, cuda_library

__all__ = ["CudaGraph", "Pair", "Stream", "Timer"]


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
        self._wait = bound("cudaStreamSynchronize")

    @property
    def handle(self) -> int:
        """As other libraries take it."""
        return int(self.raw)

    def wait(self) -> None:
        """Until everything in the queue is done."""
        self._wait(self.raw)


class Pair:
    """Memory of the GPU and as much, page-locked, of the host."""

    def __init__(self, size_bytes: int) -> None:
        """At least one byte."""
        self.size_bytes = max(1, size_bytes)
        self.device = int(call("cudaMalloc", self.size_bytes))
        _freed_with(self, "cudaFree", self.device)
        self._address = int(call("cudaMallocHost", self.size_bytes))
        _freed_with(self, "cudaFreeHost", self._address)
        kinds = cuda_library().cudaMemcpyKind
        self._to_device, self._to_host = kinds.cudaMemcpyHostToDevice, kinds.cudaMemcpyDeviceToHost
        self._copy = bound("cudaMemcpyAsync")

    def array(self, shape: tuple[int, ...], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
        """The beginning of the host's memory; valid as long as this object is there."""
        block: Any = (ctypes.c_char * self.size_bytes).from_address(self._address)
        return np.ndarray(shape, dtype=dtype, buffer=block)

    def to_device(self, size_bytes: int, stream: Stream) -> None:
        """Queue the copy of the first bytes."""
        self._copy(self.device, self._address, size_bytes, self._to_device, stream.raw)

    def to_host(self, size_bytes: int, stream: Stream) -> None:
        """Queue the copy of the first bytes."""
        self._copy(self._address, self.device, size_bytes, self._to_host, stream.raw)


class Timer:
    """Two events in a stream and the time between them by the GPU's clock."""

    def __init__(self, stream: Stream) -> None:
        """Nothing is recorded yet."""
        self._stream, self._record = stream, bound("cudaEventRecord")
        self._elapsed_ms = bound("cudaEventElapsedTime")
        self._events = (call("cudaEventCreate"), call("cudaEventCreate"))
        for event in self._events:
            _freed_with(self, "cudaEventDestroy", event)

    def start(self) -> None:
        """Queue the first event."""
        self._record(self._events[0], self._stream.raw)

    def stop(self) -> None:
        """Queue the second event."""
        self._record(self._events[1], self._stream.raw)

    def seconds(self) -> float:
        """Between the two, once the stream has passed both."""
        return float(self._elapsed_ms(*self._events)) / 1e3


class CudaGraph:
    """What a call puts into a stream, recorded once and replayed with one launch."""

    def __init__(self, stream: Stream, enqueue: Callable[[], None]) -> None:
        """Record ``enqueue``, which must have run before, so that nothing is allocated in it."""
        graph = _recorded(stream, enqueue)
        try:
            ready = call("cudaGraphInstantiate", graph, 0)
        finally:
            cuda_library().cudaGraphDestroy(graph)  # what is ready does not need it
        _freed_with(self, "cudaGraphExecDestroy", ready)
        launch = bound("cudaGraphLaunch")
        self.launch: Callable[[], None] = lambda: launch(ready, stream.raw)
        """Queue everything that was recorded."""


def _recorded(stream: Stream, enqueue: Callable[[], None]) -> Any:
    """The graph of what ``enqueue`` puts into the stream; the caller's to destroy."""
    library = cuda_library()
    # Of this thread only: others may go on with CUDA meanwhile.
    mode = library.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
    call("cudaStreamBeginCapture", stream.raw, mode)
    try:
        enqueue()
    except BaseException:
        # Else the stream takes nothing any more; a recording that is spoilt gives no graph.
        error, graph = library.cudaStreamEndCapture(stream.raw)
        if int(error) == 0:
            library.cudaGraphDestroy(graph)
        raise
    return call("cudaStreamEndCapture", stream.raw)
