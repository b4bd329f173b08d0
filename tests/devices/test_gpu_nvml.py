from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from devices import NoGpuMeter, gpu_meter
from tests.devices.nvml_fake import FakeGpu, FakeNvml, NVMLError_GpuIsLost

MIB = 2**20


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> FakeGpu:
    gpu = FakeGpu()
    monkeypatch.setitem(sys.modules, "pynvml", FakeNvml(gpu))
    monkeypatch.setattr("devices.gpu_nvml._PERIOD_S", 60.0)  # samples: at the start, at the end
    return gpu


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What ``time.monotonic`` gives to the meter; the first entry counts."""
    now = [100.0]
    monkeypatch.setattr("devices.gpu_nvml.time.monotonic", lambda: now[0])
    return now


def test_a_run_in_figures(gpu: FakeGpu, clock: list[float]) -> None:
    meter = gpu_meter()
    meter.start()
    gpu.sm_mhz, gpu.reasons, gpu.energy_mj, gpu.temperature = 990, 0x4 | 0x1, 5000, 60
    gpu.power_mw, gpu.processes = 300_000, [(1, 7), (os.getpid(), 80 * MIB)]
    clock[0] += 2.0
    use = meter.stop(100)
    assert use is not None
    assert use.name == "NVIDIA H200"
    assert (use.sm_clock_hz, use.least_sm_clock_hz) == (1.485e9, 0.99e9)
    assert use.default_sm_clock_hz == 1.98e9
    assert (use.throttle, use.temperature_c) == (("power cap",), 60.0)
    assert use.power_w == pytest.approx(200.0)
    assert use.energy_j == pytest.approx(0.05)
    assert (use.memory_bytes, use.memory_method) == (80 * MIB, "process")


def test_energy_without_a_counter_is_power_over_time(gpu: FakeGpu, clock: list[float]) -> None:
    gpu.energy_mj = None
    meter = gpu_meter()
    meter.start()
    gpu.power_mw = 300_000
    clock[0] += 2.0
    use = meter.stop(4)
    assert use is not None
    assert use.energy_j == pytest.approx((100 + 300) / 2 * 2.0 / 4)


@pytest.mark.parametrize("listed", [[], [(999_999_999, 50 * MIB)], [(os.getpid(), None)]])
def test_memory_of_a_process_that_is_not_shown(
    gpu: FakeGpu, listed: list[tuple[int, int | None]]
) -> None:
    meter = gpu_meter()
    gpu.processes, gpu.used = listed, gpu.used + 30 * MIB
    meter.start()
    use = meter.stop(1)
    assert use is not None
    assert (use.memory_bytes, use.memory_method) == (30 * MIB, "device difference")


def test_the_clock_of_a_stretch(gpu: FakeGpu, clock: list[float]) -> None:
    meter = gpu_meter()
    meter.start()
    gpu.sm_mhz = 990
    clock[0] = 200.0
    meter.stop(1)
    assert meter.clock_share(99.0, 101.0) == 1.0
    assert meter.clock_share(199.0, 201.0) == 0.5
    assert meter.clock_share(120.0, 130.0) == 0.75  # between the two samples


def test_it_samples_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = FakeGpu()
    monkeypatch.setitem(sys.modules, "pynvml", FakeNvml(gpu))
    monkeypatch.setattr("devices.gpu_nvml._PERIOD_S", 0.001)
    meter = gpu_meter()
    meter.start()
    gpu.temperature = 77
    while meter._samples[-1].temperature_c != 77:  # type: ignore[attr-defined]
        time.sleep(0.001)  # ends because another thread samples
    gpu.temperature = 50
    use = meter.stop(1)
    assert use is not None
    assert use.temperature_c == 77.0


def test_a_gpu_that_is_lost_on_the_way(gpu: FakeGpu) -> None:
    meter = gpu_meter()
    meter.start()
    gpu.refuses = dict.fromkeys(["nvmlDeviceGetTotalEnergyConsumption"], NVMLError_GpuIsLost)
    use = meter.stop(1)
    assert use is not None
    assert use.sm_clock_hz == 1.98e9


def test_without_such_a_gpu_there_is_none(gpu: FakeGpu) -> None:
    assert isinstance(gpu_meter((0, 0x65, 0)), NoGpuMeter)


def test_of_several_gpus_the_one_at_the_bus_is_watched(monkeypatch: pytest.MonkeyPatch) -> None:
    gpus = FakeGpu(name="NVIDIA L4", bus=(0, 0x65, 0)), FakeGpu(name="NVIDIA H200")
    nvml = FakeNvml(*gpus)
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    meter = gpu_meter((0, 0x17, 0))
    meter.start()
    use = meter.stop(1)
    assert use is not None
    assert use.name == "NVIDIA H200"
    assert isinstance(gpu_meter(), NoGpuMeter)  # which one is not known
    assert nvml.opened == 0


def test_of_several_instances_none_is_watched(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = FakeGpu(instances=[FakeGpu(), FakeGpu()])
    monkeypatch.setitem(sys.modules, "pynvml", FakeNvml(whole))
    assert isinstance(gpu_meter((0, 0x17, 0)), NoGpuMeter)


def test_without_a_driver_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert isinstance(gpu_meter(), NoGpuMeter)


def test_only_one_module_imports_the_library() -> None:
    devices = Path(__file__).parents[2] / "devices"
    found = [p.name for p in devices.glob("*.py") if "import pynvml" in p.read_text()]
    assert found == ["nvml.py"]
