"""A GPU in the form of ``cuda.bindings.runtime``: its memory is the host's, its queues do at once.

Functions return what CUDA's do: an error code and a value, where there is one.
"""

from __future__ import annotations

import ctypes
import sys
import time
import types
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
        self.cudaStreamNonBlocking = 1
        self.cudaDeviceAttr = types.SimpleNamespace(
            cudaDevAttrComputeCapabilityMajor=75, cudaDevAttrComputeCapabilityMinor=76
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
        cuda.bindings, bindings.runtime = bindings, self  # type: ignore[attr-defined]
        for module in (cuda, bindings, self):
            patch.setitem(sys.modules, module.__name__, module)

    def enqueue(self, work: Callable[[], None]) -> None:
        """Do it, or record it."""
        if self.recorded is None:
            work()
        else:
            self.recorded.append(work)

    def block(self, address: int, size: int) -> Any:
        """Memory of at least ``size`` bytes that begins at ``address``."""
        found = self.blocks[address]
        assert len(found) >= size
        return found

    def _guarded(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any) -> tuple[Any, ...]:
            if name in self.fails:
                return self.fails[name], None
            value = function(*args)
            return (0,) if value is None else (0, value)

        return call

    def _functions(self) -> dict[str, Callable[..., Any]]:
        def allocate(size: int) -> int:
            assert size > 0
            block = (ctypes.c_char * size)()
            self.blocks[ctypes.addressof(block)] = block
            return ctypes.addressof(block)

        def free(address: int) -> None:
            del self.blocks[address]

        def copy(to: int, source: int, size: int, kind: int, stream: Any) -> None:
            assert self.block(to, size) is not self.block(source, size)

            def move() -> None:
                ctypes.memmove(to, source, size)

            self.enqueue(move)

        def record(event: list[float], stream: Any) -> None:
            event[:] = [time.perf_counter()]

        def begin(stream: Any, mode: int) -> None:
            assert self.recorded is None
            self.recorded = []

        def end(stream: Any) -> list[Callable[[], None]]:
            assert self.recorded is not None
            found, self.recorded = self.recorded, None
            return found

        def launch(graph: list[Callable[[], None]], stream: Any) -> None:
            self.launches += 1
            for work in graph:
                work()

        attributes = {75: lambda: self.capability[0], 76: lambda: self.capability[1]}
        return {
            "cudaDeviceGetAttribute": lambda which, device: attributes[which](),
            "cudaDriverGetVersion": lambda: self.driver,
            "cudaEventCreate": lambda: [0.0],
            "cudaEventDestroy": lambda event: None,
            "cudaEventElapsedTime": lambda a, b: (b[0] - a[0]) * 1e3,
            "cudaEventRecord": record,
            "cudaFree": free,
            "cudaFreeHost": free,
            "cudaGetDeviceCount": lambda: self.count,
            "cudaGetDeviceProperties": lambda device: types.SimpleNamespace(
                name=self.name.encode()
            ),
            "cudaGetErrorString": lambda error: f"what {error} means".encode(),
            "cudaGraphDestroy": lambda graph: None,
            "cudaGraphExecDestroy": lambda graph: None,
            "cudaGraphInstantiate": lambda graph, flags: graph,
            "cudaGraphLaunch": launch,
            "cudaMalloc": allocate,
            "cudaMallocHost": allocate,
            "cudaMemcpyAsync": copy,
            "cudaStreamBeginCapture": begin,
            "cudaStreamCreateWithFlags": lambda flags: 7,
            "cudaStreamDestroy": lambda stream: None,
            "cudaStreamEndCapture": end,
            "cudaStreamSynchronize": lambda stream: None,
        }
