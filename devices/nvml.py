"""NVIDIA's GPUs as their driver shows them, by NVML; the one module that imports ``pynvml``."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

__all__ = ["Nvml", "NvmlGpu", "opened_nvml"]

_SM: Final = 1  # NVML_CLOCK_SM
_CORE: Final = 0  # NVML_TEMPERATURE_GPU
_REASONS: Final = {
    0x2: "application clocks",
    0x4: "power cap",
    0x8: "hardware slowdown",
    0x10: "sync boost",
    0x20: "thermal slowdown by software",
    0x40: "thermal slowdown by hardware",
    0x80: "power brake",
    0x100: "display clocks",
    0x200: "board limit",
    0x400: "reliability voltage",
}
"""Bits of the reasons that hold clocks down; idleness (0x1) is none."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Nvml:
    """What NVML shows while it is open."""

    driver: str | None = None
    gpus: tuple[NvmlGpu, ...] = ()
    """A GPU that is divided (MIG) counts as its instances."""
    why_none: str = ""
    """Why nothing can be seen; empty where NVML answers."""


class NvmlGpu:
    """One GPU, or one MIG instance of it; a value that the driver does not give is None.

    Clocks, their reasons and temperature are of the whole GPU; power and energy too, so that an
    instance has none of its own.
    """

    def __init__(self, nvml: Any, handle: Any, whole: Any) -> None:
        """``nvml``: the module; ``whole``: the handle of the GPU that an instance is part of."""
        self._nvml, self._handle, self._whole = nvml, handle, whole

    @property
    def name(self) -> str:
        """As NVIDIA calls it."""
        found = self._ask(self._handle, "nvmlDeviceGetName")
        return str(found) if found else "an NVIDIA GPU"

    @property
    def capability(self) -> tuple[int, int] | None:
        """CUDA's compute capability."""
        found = self._ask(self._whole, "nvmlDeviceGetCudaComputeCapability")
        return None if found is None else (int(found[0]), int(found[1]))

    @property
    def bus(self) -> tuple[int, int, int] | None:
        """Domain, bus and device of the whole GPU (PCI)."""
        found = self._ask(self._whole, "nvmlDeviceGetPciInfo")
        return None if found is None else (int(found.domain), int(found.bus), int(found.device))

    @property
    def memory_bytes(self) -> int | None:
        """All memory of the device."""
        found = self._ask(self._handle, "nvmlDeviceGetMemoryInfo")
        return None if found is None else int(found.total)

    @property
    def used_bytes(self) -> int | None:
        """Memory in use, by whomever."""
        found = self._ask(self._handle, "nvmlDeviceGetMemoryInfo")
        return None if found is None else int(found.used)

    @property
    def default_sm_clock_hz(self) -> float | None:
        """The default clock of applications; the highest where the driver names no default."""
        names = ("nvmlDeviceGetDefaultApplicationsClock", "nvmlDeviceGetMaxClockInfo")
        return _scaled(self._first(self._whole, names, _SM), 1e6)

    @property
    def sm_clock_hz(self) -> float | None:
        """Clock of the multiprocessors now."""
        return _scaled(self._ask(self._whole, "nvmlDeviceGetClockInfo", _SM), 1e6)

    @property
    def throttle(self) -> frozenset[str]:
        """Reasons that hold the clock down now."""
        names = (
            "nvmlDeviceGetCurrentClocksEventReasons",
            "nvmlDeviceGetCurrentClocksThrottleReasons",  # before driver 535
        )
        bits = int(self._first(self._whole, names) or 0)
        return frozenset(reason for bit, reason in _REASONS.items() if bits & bit)

    @property
    def power_w(self) -> float | None:
        """Power drawn now."""
        return _scaled(self._ask(self._handle, "nvmlDeviceGetPowerUsage"), 1e-3)

    @property
    def temperature_c(self) -> float | None:
        """Of the chip."""
        names = ("nvmlDeviceGetTemperatureV", "nvmlDeviceGetTemperature")
        return _scaled(self._first(self._whole, names, _CORE), 1.0)

    @property
    def energy_j(self) -> float | None:
        """Since the driver was loaded (Volta and newer)."""
        return _scaled(self._ask(self._handle, "nvmlDeviceGetTotalEnergyConsumption"), 1e-3)

    @property
    def persistent(self) -> bool | None:
        """Whether the driver stays loaded while nobody uses the GPU."""
        found = self._ask(self._whole, "nvmlDeviceGetPersistenceMode")
        return None if found is None else bool(found)

    @property
    def processes(self) -> dict[int, int | None] | None:
        """Memory of each process that computes on it, by process id.

        In a container the ids may be those of the host, and the memory may be hidden
        (github.com/NVIDIA/nvidia-docker/issues/179).
        """
        found = self._ask(self._handle, "nvmlDeviceGetComputeRunningProcesses")
        if found is None:
            return None
        used: dict[int, int | None] = {}
        for one in found:
            size, before = one.usedGpuMemory, used.get(int(one.pid))
            used[int(one.pid)] = before if size is None else (before or 0) + int(size)
        return used

    def instances(self) -> list[NvmlGpu]:
        """Its MIG instances; itself where it is not divided."""
        mode = self._ask(self._whole, "nvmlDeviceGetMigMode")
        if mode is None or not mode[0]:
            return [self]
        count = self._ask(self._whole, "nvmlDeviceGetMaxMigDeviceCount") or 0
        name = "nvmlDeviceGetMigDeviceHandleByIndex"
        handles = [self._ask(self._whole, name, i) for i in range(int(count))]
        return [NvmlGpu(self._nvml, h, self._whole) for h in handles if h is not None]

    def _first(self, handle: Any, functions: tuple[str, ...], *args: int) -> Any | None:
        """The answer of the first function that gives one."""
        answers = (self._ask(handle, name, *args) for name in functions)
        return next((answer for answer in answers if answer is not None), None)

    def _ask(self, handle: Any, function: str, *args: int) -> Any | None:
        """None where the library or the driver is without it, or refuses."""
        call = getattr(self._nvml, function, None)
        try:
            return None if call is None else call(handle, *args)
        except (self._nvml.NVMLError, self._nvml.NVMLLibraryMismatchError):
            return None


@contextlib.contextmanager
def opened_nvml() -> Iterator[Nvml]:
    """NVML for the block: its GPUs in the order of the bus.

    Without the library, a driver or permission nothing is raised: there are no GPUs then.
    """
    try:
        import pynvml
    except ImportError:
        yield Nvml(why_none="nvidia-ml-py is not installed (extra gpu)")
        return
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as exc:
        yield Nvml(why_none=f"NVML says: {exc}")
        return
    try:
        yield _found(pynvml)
    finally:
        with contextlib.suppress(pynvml.NVMLError):
            pynvml.nvmlShutdown()


def _found(nvml: Any) -> Nvml:
    gpus: list[NvmlGpu] = []
    try:
        driver = str(nvml.nvmlSystemGetDriverVersion())
        count = nvml.nvmlDeviceGetCount()
    except nvml.NVMLError as exc:
        return Nvml(why_none=f"NVML says: {exc}")
    for index in range(count):
        with contextlib.suppress(nvml.NVMLError):  # lost, or not for this user
            handle = nvml.nvmlDeviceGetHandleByIndex(index)
            gpus += NvmlGpu(nvml, handle, handle).instances()
    return Nvml(driver=driver, gpus=tuple(gpus), why_none="" if gpus else "NVML shows none")


def _scaled(value: Any | None, factor: float) -> float | None:
    return None if value is None else float(value) * factor
