"""ONNX Runtime's CUDA adapter on a stand-in: the real library, which says it runs on a GPU."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import types
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import profiler.memory_child
from exporters import Artifact, emit, make_inputs, random_weights
from exporters.onnxruntime_cuda import OnnxRuntimeCuda
from fleetfit import (
    Architecture,
    DeviceInfo,
    InputError,
    Precision,
    RuntimeMissing,
    SurroundingsError,
    Target,
    Workload,
)

WORKLOAD = Workload(batch=2, seq_len=8)
TARGET = Target(runtime="onnxruntime", provider="cuda")
CUDA, PROCESSOR = "CUDAExecutionProvider", "CPUExecutionProvider"


class FakeSession:
    """One on the processor; ``falls_back`` as the real one does where CUDA does not start."""

    def __init__(self, library: FakeOrt, inner: Any, given: dict[str, str]) -> None:
        self._library, self._inner, self._given = library, inner, given

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def get_providers(self) -> list[str]:
        return [PROCESSOR] if self._library.falls_back else [CUDA, PROCESSOR]

    def get_provider_options(self) -> dict[str, dict[str, str]]:
        defaults = {"gpu_external_alloc": "0", "gpu_mem_limit": "18446744073709551615"}
        return {CUDA: defaults | self._given | self._library.changed, PROCESSOR: {}}

    def get_provider_graph_assignment_info(self) -> list[Any]:
        nodes = [types.SimpleNamespace(op_type=op) for op in self._library.on_processor]
        return [
            types.SimpleNamespace(ep_name=PROCESSOR, get_nodes=lambda: nodes),
            types.SimpleNamespace(
                ep_name=CUDA, get_nodes=lambda: [types.SimpleNamespace(op_type="MatMul")]
            ),
        ]


class FakeOrt(types.ModuleType):
    """The module."""

    def __init__(self, inner: Any) -> None:
        super().__init__("onnxruntime")
        self._inner = inner
        self.falls_back, self.preloaded = False, 0
        self.available = [CUDA, PROCESSOR]
        self.changed: dict[str, str] = {}
        self.on_processor = ["Shape", "Slice"]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def get_available_providers(self) -> list[str]:
        return self.available

    def preload_dlls(self) -> None:
        self.preloaded += 1

    def InferenceSession(
        self, model: Any, *, sess_options: Any, providers: Any, provider_options: Any
    ) -> Any:
        inner = self._inner.InferenceSession(model, sess_options, providers=[PROCESSOR])
        if providers == [PROCESSOR]:
            return inner
        assert providers == [CUDA]
        (given,) = provider_options
        assert all(isinstance(v, str) for v in given.values())
        return FakeSession(self, inner, given)


@pytest.fixture
def ort(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeOrt:
    import onnxruntime

    found = FakeOrt(onnxruntime)
    found.__spec__ = ModuleSpec("onnxruntime", None, is_package=True)
    (tmp_path / "wheel" / "capi").mkdir(parents=True)
    (tmp_path / "wheel" / "capi" / "libonnxruntime_providers_cuda.so").write_text("")
    places = found.__spec__.submodule_search_locations
    assert places is not None
    places.append(str(tmp_path / "wheel"))
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", found)
    return found


@pytest.fixture
def model(mixed: Architecture) -> onnx.ModelProto:
    return emit(mixed, random_weights(mixed))


def built(model: onnx.ModelProto, place: Path, precision: Precision = "fp32") -> Artifact:
    target = dataclasses.replace(TARGET, precision=precision)
    return OnnxRuntimeCuda().build(model, target, WORKLOAD, place)


@pytest.mark.parametrize("precision", ["fp32", "tf32", "fp16"])
def test_options_are_those_of_the_precision_and_read_back(
    ort: FakeOrt, model: onnx.ModelProto, mixed: Architecture, tmp_path: Path, precision: Precision
) -> None:
    session = OnnxRuntimeCuda().load(built(model, tmp_path, precision))
    found = session.properties
    assert found["providers"] == CUDA
    assert found["precision"] == precision
    assert found["use_tf32"] == ("1" if precision == "tf32" else "0")
    assert found["arena_extend_strategy"] == "kSameAsRequested"
    assert found["nodes_on_processor"] == "Shape,Slice"
    assert "gpu_external_alloc" not in found
    assert ort.preloaded == 1
    (inputs,) = make_inputs(mixed.embedding, WORKLOAD, seed=0, count=1)
    assert session.run(inputs)["logits"].shape == (2, 5)
    assert (session.outputs, session.shape, session.device_s) == (("logits",), None, None)


def test_fp32_and_tf32_share_the_file(model: onnx.ModelProto, tmp_path: Path) -> None:
    adapter = OnnxRuntimeCuda()
    paths = [built(model, tmp_path / p, p) for p in ("fp32", "tf32", "bf16")]
    assert paths[0].sha256 == paths[1].sha256 != paths[2].sha256
    assert [adapter.takes_onnx(a.target) for a in paths] == [True, True, False]


def test_it_never_runs_on_the_processor_instead(
    ort: FakeOrt, model: onnx.ModelProto, tmp_path: Path
) -> None:
    artifact = built(model, tmp_path)
    ort.falls_back = True
    with pytest.raises(SurroundingsError, match="must start its CUDA provider"):
        OnnxRuntimeCuda().load(artifact)
    ort.falls_back, ort.available = False, [PROCESSOR]
    with pytest.raises(SurroundingsError, match="must start its CUDA provider"):
        OnnxRuntimeCuda().load(artifact)


def test_products_on_the_processor_are_refused(
    ort: FakeOrt, model: onnx.ModelProto, tmp_path: Path
) -> None:
    artifact = built(model, tmp_path)
    ort.on_processor = ["Shape", "MatMul", "Gelu"]
    with pytest.raises(SurroundingsError, match="runs Gelu, MatMul on the processor"):
        OnnxRuntimeCuda().load(artifact)


def test_an_option_that_is_not_taken_is_an_error(
    ort: FakeOrt, model: onnx.ModelProto, tmp_path: Path
) -> None:
    artifact = built(model, tmp_path)
    ort.changed = {"use_tf32": "1"}
    with pytest.raises(SurroundingsError, match="use_tf32=0, but the loaded network says 1"):
        OnnxRuntimeCuda().load(artifact)


def test_a_file_of_another_precision_is_an_error(
    ort: FakeOrt, model: onnx.ModelProto, tmp_path: Path
) -> None:
    artifact = built(model, tmp_path, "fp16")
    other = dataclasses.replace(artifact, target=TARGET)
    with pytest.raises(SurroundingsError, match=r"precision=fp32, but .* fp16"):
        OnnxRuntimeCuda().load(other)


def test_the_plain_build_is_not_enough(
    model: onnx.ModelProto, tmp_path: Path, device: DeviceInfo
) -> None:
    adapter = OnnxRuntimeCuda()
    found = importlib.util.find_spec("onnxruntime")
    assert found is not None
    if adapter.available():
        pytest.skip("onnxruntime-gpu is installed")
    gpu = dataclasses.replace(device, gpus=("NVIDIA L4, 22 GiB, compute capability 8.9",))
    assert adapter.targets(gpu, threads=1) == ()
    wanted = r"onnxruntime-gpu must be installed .*pip uninstall onnxruntime.*fleetfit\[cuda\]"
    with pytest.raises(RuntimeMissing, match=wanted):
        adapter.version()
    with pytest.raises(RuntimeMissing, match=wanted):
        adapter.load(built(model, tmp_path))


GPUS = {
    "NVIDIA L4, 22 GiB, compute capability 8.9": ["fp32", "tf32", "fp16", "bf16"],
    "Tesla T4, 15 GiB, compute capability 7.5": ["fp32", "fp16"],
    "NVIDIA P4, 8 GiB, compute capability 6.1": ["fp32"],
    "an NVIDIA GPU": [],
}


@pytest.mark.parametrize("gpu", GPUS)
def test_targets_by_the_gpu(ort: FakeOrt, device: DeviceInfo, gpu: str) -> None:
    adapter = OnnxRuntimeCuda()
    assert adapter.targets(device, threads=2) == ()
    found = adapter.targets(dataclasses.replace(device, gpus=(gpu,)), threads=2)
    assert [t.precision for t in found] == GPUS[gpu]
    assert all(t.provider == "cuda" for t in found)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"cuda_graph": True}, "belong to TensorRT"),
        ({"compatible": "version"}, "belong to TensorRT"),
        ({"precision": "int8"}, "fp32, tf32, fp16, bf16"),
        ({"provider": "cpu"}, "on cuda"),
    ],
    ids=str,
)
def test_targets_that_do_not_fit_are_refused(
    model: onnx.ModelProto, tmp_path: Path, options: dict[str, Any], said: str
) -> None:
    with pytest.raises(InputError, match=said):
        OnnxRuntimeCuda().build(model, dataclasses.replace(TARGET, **options), WORKLOAD, tmp_path)


def test_the_memory_child_runs_it_as_the_adapter_does(
    ort: FakeOrt, model: onnx.ModelProto, mixed: Architecture, tmp_path: Path
) -> None:
    artifact = built(model, tmp_path)
    options = json.loads(json.dumps(OnnxRuntimeCuda().options(TARGET)))
    _, load = profiler.memory_child.LOADERS["onnxruntime"]
    _, run = load(artifact.path, options)
    (inputs,) = make_inputs(mixed.embedding, WORKLOAD, seed=0, count=1)
    np.testing.assert_array_equal(
        run(dict(inputs))[0], OnnxRuntimeCuda().load(artifact).run(inputs)["logits"]
    )
    ort.falls_back = True
    with pytest.raises(RuntimeError, match="CUDAExecutionProvider does not start here"):
        load(artifact.path, options)
