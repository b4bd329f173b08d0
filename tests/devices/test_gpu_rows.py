from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from devices.disturbance import Disturbance
from devices.gpu_rows import gpu_rows
from tests.devices.nvml_fake import DEVICE_CALLS, FakeGpu, FakeNvml, NVMLError_NoPermission
from tests.devices.trees import write


def rows(monkeypatch: pytest.MonkeyPatch, proc: Path, *gpus: FakeGpu) -> list[Disturbance]:
    monkeypatch.setitem(sys.modules, "pynvml", FakeNvml(*gpus))
    return gpu_rows(proc)


def test_nothing_to_be_said_of_a_machine_without_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (row,) = rows(monkeypatch, tmp_path)
    assert (row.what, row.matters, row.advice) == ("GPUs", "ok", "")


def test_a_calm_gpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = rows(monkeypatch, tmp_path, FakeGpu(processes=[(os.getpid(), 1)], reasons=0x1))
    assert [r.matters for r in found] == ["ok"] * 3


def test_a_disturbed_gpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    write(tmp_path, {"7/comm": "trainer\n"})
    gpu = FakeGpu(processes=[(8, None), (7, 1)], reasons=0x40, persistent=0)
    others, clock, persistence = rows(monkeypatch, tmp_path, gpu)
    assert (others.found, others.matters) == ("trainer (7), unknown (8)", "disturbs")
    assert (clock.found, clock.matters) == ("held down: thermal slowdown by hardware", "disturbs")
    assert (persistence.matters, persistence.advice) == ("may disturb", "sudo nvidia-smi -pm 1")


def test_a_clock_that_somebody_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    _, clock, _ = rows(monkeypatch, tmp_path, FakeGpu(reasons=0x2))
    assert clock.matters == "may disturb"


def test_many_processes_are_counted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    gpu = FakeGpu(processes=[(pid, 1) for pid in range(900_000_001, 900_000_009)])
    others, _, _ = rows(monkeypatch, tmp_path, gpu)
    assert others.found.endswith("(900000005) and 3 more")


def test_several_are_numbered(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = rows(monkeypatch, tmp_path, FakeGpu(), FakeGpu())
    assert [r.what.partition(":")[0] for r in found] == ["GPU 0"] * 3 + ["GPU 1"] * 3


def test_what_the_driver_hides_is_unknown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    gpu = FakeGpu(refuses=dict.fromkeys(DEVICE_CALLS, NVMLError_NoPermission))
    others, _, persistence = rows(monkeypatch, tmp_path, gpu)
    assert (others.matters, persistence.matters) == ("unknown", "unknown")
