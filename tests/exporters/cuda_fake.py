"""A GPU in the form of ``cuda.bindings.runtime``: its memory is the host's.

What is queued is done when somebody waits for it, not before. Functions return what CUDA's do: an
error code and a value, where there is one.
"""

from __future__ import annotations

import ctypes
import sys
import time
import types
from collections import Counter
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from typing import Any

import pytest

NO_DRIVER = 35
OUT_OF_MEMORY = 2


class FakeCuda(types.ModuleType):
    """The module; ``fails`` gives functions that answer with an error."""

    def __init__(self, *, name: str = "NVIDIA H200", capability: tuple[int, int] = (9, 0)) -> None:
        super().__init__("cuda.bindings.runtime")
        self.name, self.capability, self.driver, self.count = name, capability, 13000, 1
        self.fails: dict[str, int] = {}
        self.blocks: dict[int, Any] = {}
        """Memory that is held, by address."""
        self.recorded: list[Callable[[], None]] | None = None
        """What a graph is made of, while one is recorded."""
        self.launches = 0
        self.queue: list[Callable[[], None]] = []
        """What nobody has waited for yet."""
        self.calls: Counter[str] = Counter()
        self.alive: Counter[str] = Counter()
        """Graphs, events and streams that were not destroyed, by kind."""
        self.device = 0
        """Of the thread."""
        self.bus = (0, 0x17, 0)
        self.cudaStreamNonBlocking = 1
        self.cudaDeviceAttr = types.SimpleNamespace(
            cudaDevAttrComputeCapabilityMajor=75,
            cudaDevAttrComputeCapabilityMinor=76,
            cudaDevAttrPciDomainId=50,
            cudaDevAttrPciBusId=33,
            cudaDevAttrPciDeviceId=34,
        )
        self.cudaMemcpyKind = types.SimpleNamespace(
            cudaMemcpyHostToDevice=1, cudaMemcpyDeviceToHost=2
        )
        self.cudaStreamCaptureMode = types.SimpleNamespace(cudaStreamCaptureModeThreadLocal=1)
        for name_, function in self._functions().items():
            setattr(self, name_, self._guarded(name_, function))

    def install(self, patch: pytest.MonkeyPatch) -> None:
        """``from cuda.bindings import runtime`` gives this from now on."""
        cuda, bindings = types.ModuleType("cuda"), types.ModuleType("cuda.bindings")
        cuda.__spec__ = ModuleSpec("cuda", None)
        bindings.__spec__ = ModuleSpec("cuda.bindings", None)
        cuda.bindings, bindings.runtime = bindings, self  # type: ignore[attr-defined]
        for module in (cuda, bindings, self):
            patch.setitem(sys.modules, module.__name__, module)

    def enqueue(self, work: Callable[[], None]) -> None:
        """Queue it, or record it."""
        (self.queue if self.recorded is None else self.recorded).append(work)

    def wait(self) -> None:
        """Do all that is queued."""
        queued, self.queue = self.queue, []
        for work in queued:
            work()

    def block(self, address: int, size: int) -> Any:
        """Memory of at least ``size`` bytes that begins at ``address``."""
        found = self.blocks[address]
        assert len(found) >= size
        return found

    def _guarded(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any) -> tuple[Any, ...]:
            self.calls[name] += 1
            if name in self.fails:
                return self.fails[name], None
            value = function(*args)
            return (0,) if value is None else (0, value)

        return call

    def _functions(self) -> dict[str, Callable[..., Any]]:
        return self._of_devices() | self._of_memory() | self._of_queues() | self._of_graphs()

    def _made(self, kind: str, what: Any) -> Any:
        self.alive[kind] += 1
        return what

    def _destroyed(self, kind: str) -> Callable[[Any], None]:
        def destroy(what: Any) -> None:
            self.alive[kind] -= 1

        return destroy

    def _of_devices(self) -> dict[str, Callable[..., Any]]:
        def choose(device: int) -> None:
            self.device = device

        attributes = {
            75: lambda: self.capability[0],
            76: lambda: self.capability[1],
            50: lambda: self.bus[0],
            33: lambda: self.bus[1],
            34: lambda: self.bus[2],
        }
        return {
            "cudaDeviceGetAttribute": lambda which, device: attributes[which](),
            "cudaDriverGetVersion": lambda: self.driver,
            "cudaGetDeviceCount": lambda: self.count,
            "cudaGetDeviceProperties": lambda device: types.SimpleNamespace(
                name=self.name.encode()
            ),
            "cudaGetErrorString": lambda error: f"what {error} means".encode(),
            "cudaSetDevice": choose,
        }

    def _of_memory(self) -> dict[str, Callable[..., Any]]:
        def allocate(size: int) -> int:
            assert size > 0
            assert self.device == 0
            block = (ctypes.c_char * size)()
            self.blocks[ctypes.addressof(block)] = block
            return ctypes.addressof(block)

        def free(address: int) -> None:
            self.wait()
            del self.blocks[address]

        def copy(to: int, source: int, size: int, kind: int, stream: Any) -> None:
            assert self.block(to, size) is not self.block(source, size)

            def move() -> None:
                ctypes.memmove(to, source, size)

            self.enqueue(move)

        return {
            "cudaFree": free,
            "cudaFreeHost": free,
            "cudaMalloc": allocate,
            "cudaMallocHost": allocate,
            "cudaMemcpyAsync": copy,
        }

    def _of_queues(self) -> dict[str, Callable[..., Any]]:
        def record(event: list[float], stream: Any) -> None:
            def now() -> None:
                event[:] = [time.perf_counter()]

            self.enqueue(now)

        return {
            "cudaEventCreate": lambda: self._made("event", []),
            "cudaEventDestroy": self._destroyed("event"),
            "cudaEventElapsedTime": lambda a, b: (b[0] - a[0]) * 1e3,
            "cudaEventRecord": record,
            "cudaStreamCreateWithFlags": lambda flags: self._made("stream", 7),
            "cudaStreamDestroy": self._destroyed("stream"),
            "cudaStreamSynchronize": lambda stream: self.wait(),
        }

    def _of_graphs(self) -> dict[str, Callable[..., Any]]:
        def begin(stream: Any, mode: int) -> None:
            assert self.recorded is None
            self.recorded = []

        def end(stream: Any) -> Any:
            assert self.recorded is not None
            found, self.recorded = self.recorded, None
            return self._made("graph", found)

        def launch(graph: list[Callable[[], None]], stream: Any) -> None:
            self.launches += 1
            for work in graph:
                self.enqueue(work)

        return {
            "cudaGraphDestroy": self._destroyed("graph"),
            "cudaGraphExecDestroy": self._destroyed("ready graph"),
            "cudaGraphInstantiate": lambda graph, flags: self._made("ready graph", list(graph)),
            "cudaGraphLaunch": launch,
            "cudaStreamBeginCapture": begin,
            "cudaStreamEndCapture": end,
        }
