"""TensorRT and CUDA that are not there, or do not start, and who may import them."""

from __future__ import annotations

import dataclasses
import re
import sys
import types
from collections.abc import Iterator
from pathlib import Path

import pytest

import exporters._cuda
import exporters._cuda_queue
import profiler.memory_child
from devices import describe
from exporters import cuda_bus, emit, random_weights
from exporters._tensorrt import started
from exporters.tensorrt_gpu import TensorRtGpu
from fleetfit import Architecture, DeviceInfo, RuntimeMissing, SurroundingsError
from tests.exporters.cuda_fake import NO_DRIVER, FakeCuda
from tests.exporters.tensorrt_fake import FakeTensorRt
from tests.exporters.tensorrt_targets import DYNAMIC, WORKLOAD, Make

ROOT = Path(__file__).parents[2]


def test_without_the_library_every_verb_says_what_to_install(
    adapter: TensorRtGpu, mixed: Architecture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    model = emit(mixed, random_weights(mixed))
    wanted = r"pip install 'fleetfit\[tensorrt\]' --extra-index-url https://pypi.nvidia.com"
    with pytest.raises(RuntimeMissing, match=wanted):
        adapter.version()
    with pytest.raises(RuntimeMissing, match=wanted):
        adapter.build(model, DYNAMIC, WORKLOAD, tmp_path)


def test_without_cudas_bindings_it_says_what_to_install(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "cuda.bindings", None)
    with pytest.raises(RuntimeMissing, match=r"cuda-bindings.*pip install cuda-bindings"):
        make()


@pytest.mark.parametrize(("code", "said"), [(NO_DRIVER, "what 35 means"), (0, "no GPU is visible")])
def test_without_a_driver_or_a_gpu_it_says_so(
    trt: FakeTensorRt, make: Make, code: int, said: str
) -> None:
    trt.cuda.count = 0
    if code:
        trt.cuda.fails["cudaGetDeviceCount"] = code
    with pytest.raises(SurroundingsError, match=rf"{said}.*install or update the driver") as caught:
        make()
    assert not isinstance(caught.value, RuntimeMissing)


GPUS = {
    "NVIDIA H200, 140 GiB, compute capability 9.0": ["fp32", "tf32", "fp16", "bf16", "int8"],
    "Tesla T4, 15 GiB, compute capability 7.5": ["fp32", "fp16", "int8"],
    "Tesla V100, 16 GiB, compute capability 7.0": [],
    "an NVIDIA GPU": [],
}


@pytest.mark.parametrize("gpu", GPUS)
def test_targets_by_the_gpu(
    trt: FakeTensorRt, adapter: TensorRtGpu, device: DeviceInfo, gpu: str
) -> None:
    assert adapter.targets(device, threads=2) == ()
    found = adapter.targets(dataclasses.replace(device, gpus=(gpu,)), threads=2)
    assert [t.precision for t in found] == GPUS[gpu]
    assert {(t.runtime, t.provider, t.threads) for t in found} <= {("tensorrt", "cuda", 2)}


@pytest.fixture
def _asked_anew() -> Iterator[None]:
    started.cache_clear()
    yield
    started.cache_clear()


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("Logger.ERROR = Runtime = print", ""),
        ("raise ImportError('libnvinfer.so.10')", "exit code 1, saying: ImportError: libnvinfer"),
        ("print('x\\nerror 35', flush=True); os.abort()", "exit code -6, saying: error 35; update"),
    ],
    ids=["starts", "raises", "crashes"],
)
@pytest.mark.usefixtures("_asked_anew")
def test_starting_is_tried_in_another_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str, said: str
) -> None:
    (tmp_path / "tensorrt.py").write_text(f"import os\ndef Logger(least): ...\n{body}\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    if not said:
        started()
        return
    with pytest.raises(SurroundingsError, match=said):
        started()


def test_a_fake_that_is_not_complete_is_no_tensorrt(
    adapter: TensorRtGpu, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", types.ModuleType("tensorrt"))
    with pytest.raises(RuntimeMissing, match="must be installed for this target, but is not"):
        adapter.version()


def test_every_function_of_cuda_that_is_called_exists() -> None:
    real = pytest.importorskip("cuda.bindings.runtime")
    called = set()
    for module in (exporters._cuda, exporters._cuda_queue, profiler.memory_child):
        text = Path(str(module.__file__)).read_text()
        called |= set(re.findall(r"\bcuda[A-Z]\w+", text))
    assert len(called) > 25
    nested = {*vars(real.cudaDeviceAttr), *vars(real.cudaMemcpyKind)}
    nested |= {*vars(real.cudaStreamCaptureMode)}
    assert [name for name in sorted(called) if not hasattr(real, name) and name not in nested] == []
    assert [n for n in FakeCuda()._functions() if not hasattr(real, n)] == []


def test_only_their_adapters_import_the_libraries() -> None:
    found = {
        library: sorted(
            path.name
            for folder in ("exporters", "profiler", "devices", "search")
            for path in (ROOT / folder).rglob("*.py")
            if re.search(rf"^ *(import|from) {library}\b", path.read_text(), re.MULTILINE)
        )
        for library in ("tensorrt", "cuda")
    }
    vendor = ["_tensorrt.py", "_tensorrt_build.py", "_tensorrt_run.py", "memory_child.py"]
    assert found == {"tensorrt": vendor, "cuda": ["_cuda.py", "memory_child.py"]}


def test_cuda_itself_says_why_it_does_not_work_here() -> None:
    pytest.importorskip("cuda.bindings.runtime")
    if describe().gpus:
        pytest.skip("there is a GPU")
    with pytest.raises(SurroundingsError, match=r"NVIDIA GPU and its driver must be there.*error"):
        exporters._cuda.first_gpu()


@pytest.mark.parametrize("missing", ["tensorrt", "cuda.bindings"])
def test_cudas_bindings_are_part_of_it(
    trt: FakeTensorRt, adapter: TensorRtGpu, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    assert adapter.available()
    monkeypatch.setitem(sys.modules, missing, None)
    assert not adapter.available()  # though other packages are in ``cuda``, too


def test_without_the_namespace_there_are_no_bindings(
    trt: FakeTensorRt, adapter: TensorRtGpu, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "cuda.bindings")
    monkeypatch.setitem(sys.modules, "cuda", None)
    assert not adapter.available()


def test_where_gpus_differ_cuda_says_which_one_is_used(
    trt: FakeTensorRt, adapter: TensorRtGpu, device: DeviceInfo
) -> None:
    both = dataclasses.replace(device, gpus=tuple(GPUS)[:2])
    assert [t.precision for t in adapter.targets(both, threads=1)] == GPUS[both.gpus[0]]
    trt.cuda.capability = (7, 5)
    assert [t.precision for t in adapter.targets(both, threads=1)] == GPUS[both.gpus[1]]
    trt.cuda.fails["cudaGetDeviceCount"] = NO_DRIVER
    assert adapter.targets(both, threads=1) == ()


def test_cuda_says_where_its_gpu_is(trt: FakeTensorRt, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cuda_bus() == (0, 0x17, 0)
    trt.cuda.fails["cudaDeviceGetAttribute"] = NO_DRIVER
    assert cuda_bus() is None
    monkeypatch.setitem(sys.modules, "cuda.bindings", None)
    assert cuda_bus() is None
