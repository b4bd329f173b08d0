"""What is read and timed between the windows of a verification."""

from __future__ import annotations

import dataclasses
import time

from devices import GpuMeter, NoGpuMeter, WindowMeter, gpu_meter
from exporters import cuda_bus
from fleetfit import GpuUse, Target, Window
from fleetfit.statistics import percentile
from profiler.protocol import VerifyProtocol
from profiler.timing import TimingLoop

__all__ = ["Beside", "meter_of"]

_REFERENCE_RUNS = 5


def meter_of(target: Target) -> GpuMeter:
    """The meter of the GPU that ``target`` runs on; make it before the GPU is first used."""
    return NoGpuMeter() if target.provider == "cpu" else gpu_meter(cuda_bus())


class Beside:
    """Called after every window with its number of samples; brings the caches back afterwards."""

    def __init__(
        self,
        loop: TimingLoop,
        reference: TimingLoop,
        protocol: VerifyProtocol,
        *,
        gpu: GpuMeter,
    ) -> None:
        """``loop`` is what is measured, ``reference`` the reference network, warm."""
        self._loop, self._reference, self._protocol = loop, reference, protocol
        self._meter, self._gpu = WindowMeter(), gpu
        gpu.start()
        self._began_s = time.monotonic()

    def __call__(self, samples: int) -> Window:
        """The window that ends now."""
        found = self._meter.read()
        share = self._gpu.clock_share(self._began_s, time.monotonic())
        times = self._reference.sample(seconds=self._protocol.reference_s, runs=_REFERENCE_RUNS)
        if self._protocol.refresh_runs:
            self._loop.sample(seconds=0.0, runs=self._protocol.refresh_runs)
        self._meter.read()  # the next window begins
        self._began_s = time.monotonic()
        return Window(
            samples=samples,
            steal=found.steal,
            other_load=found.other_load,
            waiting=found.waiting,
            switches=found.switches,
            reference_s=percentile(times, 0.5),
            clock_share=share,
        )

    def end(self, energy: GpuMeter) -> GpuUse | None:
        """What the GPU did; None without one. Its energy is that of a stretch of runs alone."""
        use = self._gpu.stop(0)
        if use is None:
            return None
        energy.start()
        runs = len(self._loop.sample(seconds=self._protocol.energy_s))
        alone = energy.stop(runs)
        if alone is None:
            return use
        return dataclasses.replace(use, energy_j=alone.energy_j, power_w=alone.power_w)
