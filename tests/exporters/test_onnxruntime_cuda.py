"""ONNX Runtime's CUDA adapter on a stand-in: the real library, which says it runs on a GPU."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import profiler.memory_child
from exporters import make_inputs
from exporters._onnxruntime import open_model
from exporters.onnxruntime_cpu import OnnxRuntimeCpu
from exporters.onnxruntime_cuda import OnnxRuntimeCuda
from fleetfit import (
    Architecture,
    DeviceInfo,
    InputError,
    Precision,
    RuntimeMissing,
    SurroundingsError,
    Target,
)
from tests.exporters.ort_fake import CUDA, PROCESSOR, TARGET, WORKLOAD, FakeOrt, built


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
    assert found["enable_skip_layer_norm_strict_mode"] == "1"
    assert found["nodes_on_processor"] == "Concat,Shape"
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


@pytest.mark.parametrize(
    "op",
    ["Gelu", "MatMul", "FusedMatMul", "SkipLayerNormalization", "Attention", "Gather", "Add"],
)
def test_work_on_the_processor_is_refused(
    ort: FakeOrt, model: onnx.ModelProto, tmp_path: Path, op: str
) -> None:
    artifact = built(model, tmp_path)
    ort.on_processor = ["Shape", op, "Cast"]
    with pytest.raises(SurroundingsError, match=f"runs {op} on the processor"):
        OnnxRuntimeCuda().load(artifact)


def refuse() -> list[Any]:
    raise AttributeError("no attribute 'get_provider_graph_assignment_info'")


@pytest.mark.parametrize(("untold", "said"), [(list, "says: nothing"), (refuse, "no attribute")])
def test_a_version_that_does_not_tell_its_nodes_is_refused(
    ort: FakeOrt, model: onnx.ModelProto, tmp_path: Path, untold: Any, said: str
) -> None:
    artifact = built(model, tmp_path)
    ort.untold = untold
    wanted = rf"which nodes .*{said}.*pip install 'onnxruntime-gpu>=1\.24\.1'"
    with pytest.raises(SurroundingsError, match=wanted):
        OnnxRuntimeCuda().load(artifact)


def test_the_installed_library_tells_its_nodes(model: onnx.ModelProto, tmp_path: Path) -> None:
    options = OnnxRuntimeCpu().options(Target(runtime="onnxruntime"))
    path = built(model, tmp_path).path
    with pytest.raises(SurroundingsError, match="must tell which nodes"):
        open_model(path, options).ran_by(PROCESSOR)
    options["entries"]["session.record_ep_graph_assignment_info"] = "1"
    session = open_model(path, options)
    assert {"Gather", "MatMul"} <= session.ran_by(PROCESSOR)
    assert session.ran_by(CUDA) == frozenset()


@pytest.mark.parametrize(
    ("option", "wanted", "found"),
    [("use_tf32", "0", "1"), ("enable_skip_layer_norm_strict_mode", "1", "0")],
)
def test_an_option_that_is_not_taken_is_an_error(
    ort: FakeOrt, model: onnx.ModelProto, tmp_path: Path, option: str, wanted: str, found: str
) -> None:
    artifact = built(model, tmp_path)
    ort.changed = {option: found}
    said = f"{option}={wanted}, but the loaded network says {found}"
    with pytest.raises(SurroundingsError, match=said):
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
    wanted = r"onnxruntime-gpu must be .*pip install .fleetfit\[cuda\].*pip uninstall onnxruntime"
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


@pytest.mark.parametrize("shown", ["", "-1"])
def test_no_targets_where_the_gpus_are_hidden(
    ort: FakeOrt, device: DeviceInfo, monkeypatch: pytest.MonkeyPatch, shown: str
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", shown)
    seen = dataclasses.replace(device, gpus=(next(iter(GPUS)),))
    assert OnnxRuntimeCuda().targets(seen, threads=1) == ()


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
        ({"cuda_graph": True}, "-graph must come with a target of tensorrt"),
        ({"compatible": "version"}, "-version must come with a target of tensor"),
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
