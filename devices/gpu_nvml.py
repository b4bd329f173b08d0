"""A GPU watched by NVML."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from typing import Literal

from devices.gpu import GpuMeter, NoGpuMeter
from devices.gpu_samples import GpuSample, energy_of, highest, mean_clock, median_clock
from devices.nvml import NvmlGpu, opened_nvml
from fleetfit import GpuUse

__all__ = ["NvmlMeter", "gpu_meter"]

_PERIOD_S = 0.1


def gpu_meter(bus: tuple[int, int, int] | None = None) -> GpuMeter:
    """For the GPU at ``bus`` (see NvmlGpu.bus), by default the only one.

    One that gives None where NVML does not show that GPU, or several in its place: of a divided one
    (MIG) it is not known which instance is meant.
    """
    stack = contextlib.ExitStack()
    found = stack.enter_context(opened_nvml()).gpus
    meant = [gpu for gpu in found if bus is None or gpu.bus == bus]
    if len(meant) != 1:
        stack.close()
        return NoGpuMeter()
    return NvmlMeter(meant[0], opened=stack)


class NvmlMeter(GpuMeter):
    """Samples every 100 ms in a thread of its own, which sleeps between the samples."""

    def __init__(self, gpu: NvmlGpu, *, opened: contextlib.ExitStack) -> None:
        """``opened`` is closed by ``stop``; memory in use now is the baseline of the process."""
        self._gpu, self._opened = gpu, opened
        self._default_hz = gpu.default_sm_clock_hz
        self._name = gpu.name
        self._baseline = gpu.used_bytes
        self._samples: list[GpuSample] = []
        self._energy_j: float | None = None
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="gpu-meter", daemon=True)

    def start(self) -> None:
        """Begin to sample."""
        self._energy_j = self._gpu.energy_j
        self._samples.append(self._sample())
        self._thread.start()

    def clock_share(self, begin_s: float, end_s: float) -> float | None:
        """See GpuMeter."""
        clock_hz = mean_clock(tuple(self._samples), begin_s, end_s)
        return clock_hz / self._default_hz if clock_hz and self._default_hz else None

    def stop(self, inferences: int) -> GpuUse | None:
        """See GpuMeter."""
        if self._thread.is_alive():
            self._over.set()
            self._thread.join()
            self._samples.append(self._sample())
        energy_j = self._used_energy_j()
        self._opened.close()
        samples = self._samples
        memory_bytes, method = self._memory()
        return GpuUse(
            name=self._name,
            sm_clock_hz=median_clock(samples),
            least_sm_clock_hz=min((s.sm_clock_hz for s in samples if s.sm_clock_hz), default=None),
            default_sm_clock_hz=self._default_hz,
            throttle=tuple(sorted(frozenset().union(*(s.throttle for s in samples)))),
            power_w=_mean_power(samples),
            temperature_c=highest([s.temperature_c for s in samples]),
            energy_j=energy_j / inferences if energy_j is not None and inferences > 0 else None,
            memory_bytes=memory_bytes,
            memory_method=method,
        )

    def _watch(self) -> None:
        while not self._over.wait(_PERIOD_S):
            self._samples.append(self._sample())

    def _sample(self) -> GpuSample:
        gpu = self._gpu
        return GpuSample(
            at_s=time.monotonic(),
            sm_clock_hz=gpu.sm_clock_hz,
            throttle=gpu.throttle,
            power_w=gpu.power_w,
            temperature_c=gpu.temperature_c,
            process_bytes=(gpu.processes or {}).get(os.getpid()),
            used_bytes=gpu.used_bytes,
        )

    def _used_energy_j(self) -> float | None:
        """Since the start, by the GPU's own counter or else from samples of power."""
        now = self._gpu.energy_j
        if self._energy_j is not None and now is not None and now >= self._energy_j:
            return now - self._energy_j
        return energy_of(self._samples)

    def _memory(self) -> tuple[int | None, Literal["process", "device difference"] | None]:
        """The most at any sample, and how it was found."""
        own = highest([s.process_bytes for s in self._samples])
        if own is not None:
            return int(own), "process"
        used = highest([s.used_bytes for s in self._samples])
        if used is None or self._baseline is None:
            return None, None
        return max(0, int(used) - self._baseline), "device difference"


def _mean_power(samples: list[GpuSample]) -> float | None:
    """Over time: samples are not quite as far apart as they should be."""
    energy_j = energy_of(samples)
    if energy_j is None or samples[-1].at_s <= samples[0].at_s:
        return highest([s.power_w for s in samples])
    return energy_j / (samples[-1].at_s - samples[0].at_s)
