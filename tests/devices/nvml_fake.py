"""A driver of NVIDIA's in the form of ``pynvml``: its functions, names and error classes."""

from __future__ import annotations

import dataclasses
import functools
import types
from collections.abc import Callable, Mapping
from typing import Any


class NVMLError(Exception):
    """As in pynvml; the classes below are its own, made there from the codes."""


class NVMLError_LibraryNotFound(NVMLError): ...


class NVMLError_DriverNotLoaded(NVMLError): ...


class NVMLError_NoPermission(NVMLError): ...


class NVMLError_NotSupported(NVMLError): ...


class NVMLError_FunctionNotFound(NVMLError): ...


class NVMLError_GpuIsLost(NVMLError): ...


class NVMLError_Uninitialized(NVMLError): ...


class NVMLLibraryMismatchError(Exception): ...


ERRORS = (
    NVMLError, NVMLError_LibraryNotFound, NVMLError_DriverNotLoaded, NVMLError_NoPermission,
    NVMLError_NotSupported, NVMLError_FunctionNotFound, NVMLError_GpuIsLost,
    NVMLError_Uninitialized, NVMLLibraryMismatchError,
)  # fmt: skip


@dataclasses.dataclass
class FakeGpu:
    """One GPU or MIG instance, which also is its own handle; tests change it as they like."""

    name: str = "NVIDIA H200"
    total: int = 140 * 2**30
    used: int = 2**30
    sm_mhz: int = 1980
    default_mhz: int | None = 1980
    max_mhz: int = 1980
    reasons: int = 0
    power_mw: int = 100_000
    temperature: int = 40
    energy_mj: int | None = 0
    persistent: int = 1
    processes: list[tuple[int, int | None]] = dataclasses.field(default_factory=list)
    instances: list[FakeGpu | None] | None = None
    lost: bool = False
    bus: tuple[int, int, int] = (0, 0x17, 0)
    """Domain, bus and device."""
    refuses: Mapping[str, type[Exception]] = dataclasses.field(default_factory=dict)
    """By the name of the function."""


class FakeNvml(types.ModuleType):
    """The module; its functions have pynvml's parameters."""

    def __init__(self, *gpus: FakeGpu, fails: type[NVMLError] | None = None) -> None:
        super().__init__("pynvml")
        self.gpus, self.fails, self.opened = list(gpus), fails, 0
        for error in ERRORS:
            setattr(self, error.__name__, error)
        for name, call in self._device_calls().items():
            setattr(self, name, call)

    def nvmlInit(self) -> None:
        if self.fails is not None:
            raise self.fails
        self.opened += 1

    def nvmlShutdown(self) -> None:
        self._check()
        self.opened -= 1

    def nvmlSystemGetDriverVersion(self) -> str:
        self._check()
        return "590.48.01"

    def nvmlDeviceGetCount(self) -> int:
        self._check()
        return len(self.gpus)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> FakeGpu:
        self._check()
        if self.gpus[index].lost:
            raise NVMLError_GpuIsLost
        return self.gpus[index]

    def _check(self) -> None:
        if self.opened < 1:
            raise NVMLError_Uninitialized

    def _device_calls(self) -> dict[str, Callable[..., Any]]:
        def given(value: Any) -> Any:
            if value is None:
                raise NVMLError_NotSupported
            return value

        def memory(handle: FakeGpu, version: int | None = None) -> Any:
            return types.SimpleNamespace(total=handle.total, used=handle.used)

        def processes(handle: FakeGpu) -> list[Any]:
            return [types.SimpleNamespace(pid=p, usedGpuMemory=m) for p, m in handle.processes]

        def sm(value: Callable[[FakeGpu], Any]) -> Callable[[FakeGpu, int], Any]:
            def call(handle: FakeGpu, type: int) -> Any:
                assert type == 1  # NVML_CLOCK_SM
                return given(value(handle))

            return call

        def mode(device: FakeGpu) -> list[int]:
            return given(None if device.instances is None else [1, 1])

        def instance(device: FakeGpu, index: int) -> FakeGpu:
            return given(device.instances and device.instances[index])

        def count(device: FakeGpu) -> int:
            return len(device.instances or [])

        calls: dict[str, Callable[..., Any]] = {
            "nvmlDeviceGetName": lambda handle: handle.name,
            "nvmlDeviceGetCudaComputeCapability": lambda handle: (9, 0),
            "nvmlDeviceGetPciInfo": lambda handle: types.SimpleNamespace(
                domain=handle.bus[0], bus=handle.bus[1], device=handle.bus[2]
            ),
            "nvmlDeviceGetMemoryInfo": memory,
            "nvmlDeviceGetDefaultApplicationsClock": sm(lambda gpu: gpu.default_mhz),
            "nvmlDeviceGetMaxClockInfo": sm(lambda gpu: gpu.max_mhz),
            "nvmlDeviceGetClockInfo": sm(lambda gpu: gpu.sm_mhz),
            "nvmlDeviceGetCurrentClocksEventReasons": lambda handle: handle.reasons,
            "nvmlDeviceGetCurrentClocksThrottleReasons": lambda handle: handle.reasons,
            "nvmlDeviceGetPowerUsage": lambda handle: handle.power_mw,
            "nvmlDeviceGetTemperatureV": lambda handle, sensor, version=1: handle.temperature,
            "nvmlDeviceGetTemperature": lambda handle, sensor: handle.temperature,
            "nvmlDeviceGetTotalEnergyConsumption": lambda handle: given(handle.energy_mj),
            "nvmlDeviceGetPersistenceMode": lambda handle: handle.persistent,
            "nvmlDeviceGetComputeRunningProcesses": processes,
            "nvmlDeviceGetMigMode": mode,
            "nvmlDeviceGetMaxMigDeviceCount": count,
            "nvmlDeviceGetMigDeviceHandleByIndex": instance,
        }
        return {name: self._guarded(name, call) for name, call in calls.items()}

    def _guarded(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(call)  # its parameters are seen
        def guarded(handle: FakeGpu, *args: int) -> Any:
            self._check()
            if name in handle.refuses:
                raise handle.refuses[name]
            return call(handle, *args)

        return guarded


DEVICE_CALLS = tuple(FakeNvml()._device_calls())
