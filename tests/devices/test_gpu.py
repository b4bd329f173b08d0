"""The contract of GpuMeter, for every implementation."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from devices import FakeGpuMeter, GpuMeter, NoGpuMeter, gpu_meter
from fleetfit import GpuUse
from tests.devices.nvml_fake import DEVICE_CALLS, FakeGpu, FakeNvml, NVMLError_NotSupported

Make = Callable[[], GpuMeter]


@pytest.fixture
def fake_driver(monkeypatch: pytest.MonkeyPatch) -> FakeNvml:
    nvml = FakeNvml(FakeGpu(processes=[(os.getpid(), 5)]))
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    return nvml


@pytest.fixture(params=["none", "fake", "nvml", "nvml that tells nothing"])
def make(request: pytest.FixtureRequest, fake_driver: FakeNvml) -> Iterator[Make]:
    makers: dict[str, Make] = {
        "none": NoGpuMeter,
        "fake": lambda: FakeGpuMeter(GpuUse(name="fake")),
        "nvml": gpu_meter,
        "nvml that tells nothing": gpu_meter,
    }
    if "nothing" in request.param:
        fake_driver.gpus[0].refuses = dict.fromkeys(DEVICE_CALLS, NVMLError_NotSupported)
    yield makers[request.param]
    assert fake_driver.opened == 0  # all is closed at the end


def test_a_run(make: Make) -> None:
    meter, before = make(), set(threading.enumerate())
    begin_s = time.monotonic()
    meter.start()
    share = meter.clock_share(begin_s, time.monotonic())
    assert share is None or share > 0
    use = meter.stop(10)
    assert use is None or use.name
    assert set(threading.enumerate()) <= before


def test_without_runs_there_is_no_energy_of_one(make: Make) -> None:
    meter = make()
    meter.start()
    use = meter.stop(0)
    assert use is None or use.energy_j is None


def test_it_may_be_stopped_before_it_has_begun(make: Make) -> None:
    meter = make()
    assert meter.clock_share(0.0, 1.0) is None
    meter.stop(0)


def test_it_may_be_asked_and_stopped_after_the_end(make: Make) -> None:
    meter = make()
    meter.start()
    meter.stop(1)
    meter.clock_share(0.0, time.monotonic())
    meter.stop(1)


@pytest.mark.gpu
@pytest.mark.usefixtures("cuda")
def test_the_real_driver() -> None:
    torch = pytest.importorskip("torch")
    meter = gpu_meter()
    meter.start()
    begin_s = time.monotonic()
    matrix = torch.ones(4096, 4096, device="cuda", dtype=torch.bfloat16)
    runs = 0
    while time.monotonic() < begin_s + 1.0:
        matrix @ matrix
        torch.cuda.synchronize()
        runs += 1
    share = meter.clock_share(begin_s, time.monotonic())
    use = meter.stop(runs)
    assert use is not None
    assert share is not None
    assert 0 < share < 3
    assert use.power_w is not None
    assert use.energy_j is not None
    assert use.energy_j * runs > 10
    assert use.memory_bytes is not None
    assert use.memory_bytes >= 4096 * 4096 * 2
    assert use.memory_method in ("process", "device difference")
