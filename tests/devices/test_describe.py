from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from devices import describe
from devices.cgroup import cpu_quota, memory_limit
from devices.describe import cpu_model_and_flags, gpus_and_driver, require_linux
from fleetfit import DeviceInfo, SurroundingsError, dumps, loads
from tests.devices.nvml_fake import FakeGpu, FakeNvml


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_this_machine_survives_json() -> None:
    info = describe()
    assert loads(DeviceInfo, dumps(info)) == info
    assert info.cores >= 1
    assert info.memory_bytes > 2**20


def test_name_follows_the_class() -> None:
    info = describe()
    assert info.name.endswith(info.device_class[:8])


def test_runtimes_are_not_imported() -> None:
    code = (
        "import sys, devices, profiler; devices.describe();"
        "print([m for m in ('torch','onnxruntime','openvino','transformers') if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_x86_cpuinfo(tmp_path: Path) -> None:
    write(tmp_path / "cpuinfo", "model name\t: A B\nflags\t\t: sse avx\n\nmodel name : C\n")
    assert cpu_model_and_flags(tmp_path) == ("A B", ("avx", "sse"))


def test_aarch64_cpuinfo(tmp_path: Path) -> None:
    write(tmp_path / "cpuinfo", "CPU implementer : 0x41\nCPU part : 0xd0c\nFeatures : fp bf16\n")
    assert cpu_model_and_flags(tmp_path) == ("ARM 0x41/0xd0c", ("bf16", "fp"))


def test_quota_of_version_2_is_the_least_up_to_the_root(tmp_path: Path) -> None:
    write(tmp_path / "proc/self/cgroup", "0::/a/b\n")
    write(tmp_path / "sys/fs/cgroup/a/b/cpu.max", "max 100000")
    write(tmp_path / "sys/fs/cgroup/a/cpu.max", "150000 100000")
    write(tmp_path / "sys/fs/cgroup/a/b/memory.max", "1048576")
    write(tmp_path / "sys/fs/cgroup/a/memory.max", "max")
    assert cpu_quota(tmp_path / "proc", tmp_path / "sys") == 1.5
    assert memory_limit(tmp_path / "proc", tmp_path / "sys") == 1048576
    info = describe(proc=tmp_path / "proc", sys_root=tmp_path / "sys")
    assert info.cores == 1
    assert info.memory_bytes == 1048576


def test_quota_of_version_1(tmp_path: Path) -> None:
    write(tmp_path / "proc/self/cgroup", "4:memory:/x\n1:cpu,cpuacct:/x\n")
    write(tmp_path / "sys/fs/cgroup/cpu/x/cpu.cfs_quota_us", "300000")
    write(tmp_path / "sys/fs/cgroup/cpu/x/cpu.cfs_period_us", "100000")
    write(tmp_path / "sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712")
    assert cpu_quota(tmp_path / "proc", tmp_path / "sys") == 3.0
    assert memory_limit(tmp_path / "proc", tmp_path / "sys") is None


def test_no_limits_where_nothing_is_mounted(tmp_path: Path) -> None:
    assert cpu_quota(tmp_path, tmp_path) is None
    assert memory_limit(tmp_path, tmp_path) is None


def test_other_systems_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(SurroundingsError, match=r"Surveys must run on Linux.*darwin"):
        require_linux("Surveys")


def test_gpus_and_their_driver_are_described(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", FakeNvml(FakeGpu(), FakeGpu(name="NVIDIA L4")))
    info = describe()
    assert info.gpus == (
        "NVIDIA H200, 140 GiB, compute capability 9.0",
        "NVIDIA L4, 140 GiB, compute capability 9.0",
    )
    assert info.versions["nvidia-driver"] == "590.48.01"


def test_without_a_gpu_there_is_no_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", FakeNvml())
    assert gpus_and_driver() == ((), {})
