"""What is read between windows: the reference, counters, the GPU."""

from __future__ import annotations

import sys

import pytest

from devices import FakeGpuMeter, NoGpuMeter, describe
from fleetfit import GpuUse, Target
from profiler import VerifyProtocol
from profiler.beside import Beside, meter_of
from profiler.timing import TimingLoop
from tests.devices.nvml_fake import FakeGpu, FakeNvml

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


def test_the_gpu_that_cuda_counts_first_is_watched(monkeypatch: pytest.MonkeyPatch) -> None:
    gpus = FakeGpu(name="NVIDIA L4", bus=(0, 1, 0)), FakeGpu(name="NVIDIA H200", bus=(0, 2, 0))
    monkeypatch.setitem(sys.modules, "pynvml", FakeNvml(*gpus))
    monkeypatch.setattr("profiler.beside.cuda_bus", lambda: (0, 2, 0))
    meter = meter_of(Target(runtime="onnxruntime", provider="cuda"))
    meter.start()
    found = meter.stop(1)
    assert found is not None
    assert found.name == "NVIDIA H200"


@pytest.mark.gpu
def test_the_real_gpu_is_watched() -> None:
    if not describe().gpus:
        pytest.skip("NVML sees no GPU")
    target = Target(runtime="onnxruntime", provider="cuda")
    seen: list[str] = []
    beside = Beside(loop(seen, "ours"), loop(seen, "reference"), PROTOCOL, gpu=meter_of(target))
    found = beside.end(meter_of(target))
    assert found is not None
    assert found.name
