from __future__ import annotations

import ast
import inspect
import sys
from pathlib import Path

import pytest

from devices.nvml import opened_nvml
from tests.devices.nvml_fake import (
    DEVICE_CALLS,
    ERRORS,
    FakeGpu,
    FakeNvml,
    NVMLError,
    NVMLError_DriverNotLoaded,
    NVMLError_FunctionNotFound,
    NVMLError_LibraryNotFound,
    NVMLError_NoPermission,
    NVMLError_NotSupported,
    NVMLLibraryMismatchError,
)

SOURCE = Path(__file__).parents[2] / "devices" / "nvml.py"
VALUES = (
    "bus", "capability", "memory_bytes", "used_bytes", "default_sm_clock_hz", "sm_clock_hz",
    "power_w", "temperature_c", "energy_j", "persistent", "processes",
)  # fmt: skip


def install(monkeypatch: pytest.MonkeyPatch, *gpus: FakeGpu, **rest) -> FakeNvml:
    nvml = FakeNvml(*gpus, **rest)
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    return nvml


def used_names() -> set[str]:
    """What the adapter takes from the library: attributes, and functions called by their name."""
    tree = ast.parse(SOURCE.read_text())
    attributes = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr.startswith(("nvml", "NVML"))
    }
    strings = {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and node.value.startswith("nvmlDevice")
    }
    return attributes | strings


def test_the_installed_library_has_all_that_the_adapter_uses() -> None:
    real = pytest.importorskip("pynvml")
    names = used_names()
    assert len(names) > 20
    assert [name for name in names if not hasattr(real, name)] == []
    assert (real.NVML_CLOCK_SM, real.NVML_TEMPERATURE_GPU) == (1, 0)
    assert real.nvmlClocksEventReasonGpuIdle == 0x1
    assert real.nvmlClocksEventReasonHwThermalSlowdown == 0x40
    assert real.nvmlClocksThrottleReasonReliability == 0x400


def test_the_fake_has_the_functions_and_errors_of_the_real_one() -> None:
    real = pytest.importorskip("pynvml")
    for error in ERRORS:
        assert hasattr(real, error.__name__)
        assert issubclass(error, NVMLError) == issubclass(
            getattr(real, error.__name__), real.NVMLError
        )
    assert {n for n in used_names() if n.startswith("nvmlDevice")} <= {
        *DEVICE_CALLS,
        *dir(FakeNvml),
    }
    fake = FakeNvml()
    for name in DEVICE_CALLS:
        theirs = inspect.signature(getattr(real, name)).parameters
        assert list(theirs) == list(inspect.signature(getattr(fake, name)).parameters), name


def test_a_gpu_in_our_units(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, FakeGpu(energy_mj=2500, power_mw=350_500, processes=[(7, 100), (7, 20)]))
    with opened_nvml() as nvml:
        (gpu,) = nvml.gpus
        assert (nvml.driver, nvml.why_none) == ("590.48.01", "")
        assert (gpu.name, gpu.capability, gpu.bus) == ("NVIDIA H200", (9, 0), (0, 0x17, 0))
        assert (gpu.memory_bytes, gpu.used_bytes) == (140 * 2**30, 2**30)
        assert (gpu.sm_clock_hz, gpu.default_sm_clock_hz) == (1.98e9, 1.98e9)
        assert (gpu.energy_j, gpu.power_w, gpu.temperature_c) == (2.5, 350.5, 40.0)
        assert (gpu.processes, gpu.persistent) == ({7: 120}, True)


def test_it_is_closed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = install(monkeypatch, FakeGpu())
    with opened_nvml():
        assert fake.opened == 1
    assert fake.opened == 0
    with pytest.raises(KeyError), opened_nvml():
        raise KeyError
    assert fake.opened == 0


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize(
    "error",
    [
        NVMLError_NotSupported,
        NVMLError_NoPermission,
        NVMLError_FunctionNotFound,
        NVMLLibraryMismatchError,
    ],
)
def test_what_is_refused_is_none(
    monkeypatch: pytest.MonkeyPatch, value: str, error: type[Exception]
) -> None:
    install(monkeypatch, FakeGpu(refuses=dict.fromkeys(DEVICE_CALLS, error)))
    with opened_nvml() as nvml:
        (gpu,) = nvml.gpus
        assert getattr(gpu, value) is None
        assert (gpu.throttle, gpu.name) == (frozenset(), "an NVIDIA GPU")


def test_without_a_default_clock_the_highest_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, FakeGpu(default_mhz=None, max_mhz=1500))
    with opened_nvml() as nvml:
        assert nvml.gpus[0].default_sm_clock_hz == 1.5e9


def test_an_older_library_s_names_do_too(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = install(monkeypatch, FakeGpu(reasons=0x4, temperature=55))
    for newer in ("nvmlDeviceGetCurrentClocksEventReasons", "nvmlDeviceGetTemperatureV"):
        delattr(fake, newer)
    with opened_nvml() as nvml:
        assert nvml.gpus[0].throttle == {"power cap"}
        assert nvml.gpus[0].temperature_c == 55.0


def test_idleness_is_no_throttling(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, FakeGpu(reasons=0x1 | 0x40))
    with opened_nvml() as nvml:
        assert nvml.gpus[0].throttle == {"thermal slowdown by hardware"}


@pytest.mark.parametrize(
    "error", [NVMLError_LibraryNotFound, NVMLError_DriverNotLoaded, NVMLError_NoPermission]
)
def test_no_driver_no_gpus(monkeypatch: pytest.MonkeyPatch, error: type[NVMLError]) -> None:
    install(monkeypatch, FakeGpu(), fails=error)
    with opened_nvml() as nvml:
        assert (nvml.driver, nvml.gpus) == (None, ())
        assert nvml.why_none.startswith("NVML says")


def test_no_library_no_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)  # an import raises ImportError
    with opened_nvml() as nvml:
        assert (nvml.gpus, "extra gpu" in nvml.why_none) == ((), True)


def test_a_lost_gpu_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, FakeGpu(lost=True), FakeGpu(name="NVIDIA L4"))
    with opened_nvml() as nvml:
        assert [gpu.name for gpu in nvml.gpus] == ["NVIDIA L4"]


def test_instances_stand_for_a_divided_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    hidden = dict.fromkeys(DEVICE_CALLS, NVMLError_NotSupported)
    for asked in ("nvmlDeviceGetName", "nvmlDeviceGetMemoryInfo"):
        hidden.pop(asked)  # of an instance itself the driver tells little more
    one = FakeGpu(name="NVIDIA H200 MIG 1g.18gb", total=18 * 2**30, refuses=hidden)
    install(monkeypatch, FakeGpu(instances=[None, one, None], sm_mhz=1234))
    with opened_nvml() as nvml:
        (gpu,) = nvml.gpus
        assert (gpu.name, gpu.memory_bytes) == (one.name, 18 * 2**30)
        assert gpu.bus == (0, 0x17, 0)
        assert gpu.sm_clock_hz == 1.234e9
        assert (gpu.power_w, gpu.energy_j) == (None, None)


def test_memory_that_a_container_hides(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, FakeGpu(processes=[(7, None), (8, 5)]))
    with opened_nvml() as nvml:
        assert nvml.gpus[0].processes == {7: None, 8: 5}
