"""What is read between windows: the reference, counters, the GPU."""

from __future__ import annotations

import pytest

from devices import FakeGpuMeter, NoGpuMeter
from fleetfit import GpuUse, Target
from profiler import VerifyProtocol
from profiler.beside import Beside, meter_of
from profiler.timing import TimingLoop

PROTOCOL = VerifyProtocol(reference_s=0.001, refresh_runs=2, energy_s=0.001)


def loop(seen: list[str], name: str) -> TimingLoop:
    return TimingLoop(seen.append, [name])


def test_the_reference_runs_then_the_network_is_brought_back() -> None:
    seen: list[str] = []
    beside = Beside(loop(seen, "ours"), loop(seen, "reference"), PROTOCOL, gpu=NoGpuMeter())
    window = beside(7)
    assert window.samples == 7
    assert window.reference_s is not None
    assert window.clock_share is None
    assert seen[-2:] == ["ours", "ours"]
    assert set(seen[:-2]) == {"reference"}
    assert beside.end(NoGpuMeter()) is None


def test_a_gpu_s_clock_is_of_the_window_and_its_energy_of_runs_alone() -> None:
    seen: list[str] = []
    gpu = FakeGpuMeter(GpuUse(name="NVIDIA", temperature_c=50.0), share=0.9)
    beside = Beside(loop(seen, "ours"), loop(seen, "reference"), PROTOCOL, gpu=gpu)
    assert beside(1).clock_share == 0.9
    seen.clear()
    energy = FakeGpuMeter(GpuUse(name="NVIDIA", energy_j=0.25, power_w=300.0))
    found = beside.end(energy)
    assert found == GpuUse(name="NVIDIA", temperature_c=50.0, energy_j=0.25, power_w=300.0)
    assert (set(seen), energy.runs, gpu.runs) == ({"ours"}, len(seen), 0)


def test_a_processor_has_no_gpu_to_watch() -> None:
    assert isinstance(meter_of(Target(runtime="onnxruntime")), NoGpuMeter)


@pytest.mark.gpu
def test_the_real_gpu_is_watched() -> None:
    from devices import gpu_meter

    seen: list[str] = []
    beside = Beside(loop(seen, "ours"), loop(seen, "reference"), PROTOCOL, gpu=gpu_meter())
    found = beside.end(gpu_meter())
    assert found is not None
    assert found.name
