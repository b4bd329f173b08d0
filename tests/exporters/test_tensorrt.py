"""TensorRT's adapter on stand-ins for its library and for CUDA; what needs a GPU is marked so."""

from __future__ import annotations

import dataclasses
import gc
import hashlib
import json
import re
import shutil
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import exporters._cuda
import profiler.memory_child
from devices import describe
from exporters import Artifact, Session, artifact_of, emit, make_inputs, random_weights
from exporters._tensorrt import started
from exporters._tensorrt_layers import layer_counts
from exporters.engine_record import Profile, read_record, write_record
from exporters.tensorrt_gpu import TensorRtGpu
from fleetfit import (
    Architecture,
    DeviceInfo,
    InputError,
    RuntimeMissing,
    SurroundingsError,
    Target,
    Workload,
    dumps,
    from_json,
    loads,
)
from tests.exporters.cuda_fake import NO_DRIVER, OUT_OF_MEMORY, FakeCuda
from tests.exporters.tensorrt_fake import FakeTensorRt, install_standin
from tests.exporters.test_runtime import foreign

VERSIONS = ("10.16.1.11", "11.4.0.106")
ROOT = Path(__file__).parents[2]
WORKLOAD = Workload(batch=2, seq_len=8)
FIXED = Target(runtime="tensorrt", provider="cuda", shapes="fixed")
DYNAMIC = dataclasses.replace(FIXED, shapes="dynamic")


@pytest.fixture
def trt(monkeypatch: pytest.MonkeyPatch) -> FakeTensorRt:
    return install_standin(monkeypatch)


@pytest.fixture
def adapter(tmp_path: Path) -> TensorRtGpu:
    return TensorRtGpu(tmp_path / "cache")


Make = Callable[..., Artifact]


@pytest.fixture
def make(trt: FakeTensorRt, adapter: TensorRtGpu, mixed: Architecture, tmp_path: Path) -> Make:
    """Build for a target of these options."""

    def built(target: Target = DYNAMIC, **options: Any) -> Artifact:
        target = dataclasses.replace(target, **options)
        workload = WORKLOAD if target.shapes == "fixed" else None
        model = emit(mixed, random_weights(mixed), workload=workload)
        inputs = list(make_inputs(mixed.embedding, WORKLOAD, seed=1, count=2))
        return adapter.build(model, target, WORKLOAD, tmp_path / "built", calibration=inputs)

    return built


def one_input(mixed: Architecture, workload: Workload = WORKLOAD) -> Any:
    (inputs,) = make_inputs(mixed.embedding, workload, seed=0, count=1)
    return inputs


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"precision": "fp32"}, {"tf32": False, "version": False, "level": "NONE"}),
        ({"precision": "tf32"}, {"tf32": True}),
        ({"precision": "fp16"}, {"tf32": False}),
        ({"compatible": "version"}, {"version": True, "level": "NONE"}),
        ({"compatible": "hardware"}, {"version": False, "level": "AMPERE_PLUS"}),
    ],
    ids=str,
)
def test_the_builder_is_told_what_the_target_says(
    trt: FakeTensorRt, make: Make, version: str, options: dict[str, Any], told: dict[str, Any]
) -> None:
    trt.__init__(trt.cuda, version)  # type: ignore[misc]
    make(**options)
    assert told.items() <= trt.seen.items()
    # Strongly typed: by its bit on 10, whose value is not that of 11, which needs none.
    assert trt.seen["network"] == (2 if version.startswith("10.") else 0)


def test_dynamic_shapes_get_a_profile_and_fixed_ones_none(trt: FakeTensorRt, make: Make) -> None:
    make()
    (profile,) = trt.seen["profiles"]
    assert set(profile.values()) == {((1, 1), (2, 8), (4, 40))}
    assert sorted(profile) == ["attention_mask", "input_ids", "token_type_ids"]
    make(FIXED)
    assert trt.seen["profiles"] == []


def test_the_model_that_is_built_has_the_precision(make: Make) -> None:
    def kinds(precision: str) -> set[int]:
        data = Path(make(precision=precision).path).read_bytes().partition(b"\n")[2]
        model = onnx.load_from_string(data)
        ops = {n.op_type for n in model.graph.node}
        assert ("QuantizeLinear" in ops) == (precision == "int8")
        return {t.data_type for t in model.graph.initializer if len(t.dims) == 2}

    types = onnx.TensorProto
    assert kinds("fp32") == kinds("tf32") == {types.FLOAT}
    assert kinds("fp16") == {types.FLOAT16}
    assert kinds("bf16") == {types.BFLOAT16}
    assert types.INT8 in kinds("int8")


def test_the_manifest_is_told_what_is_in_the_engine(
    adapter: TensorRtGpu, make: Make, mixed: Architecture
) -> None:
    found = adapter.load(make(precision="fp16", threads=3)).properties
    assert found["precision"] == "fp16"
    assert re.search(r"\d+ matmul fp16", found["layers"])
    assert found["device_memory_bytes"] == "4096"
    assert found["profile"] == "1x1 to 4x40, tuned for 2x8"
    assert (found["gpu"], found["compute_capability"]) == ("NVIDIA H200", "9.0")
    assert (found["tensorrt"], found["cuda_driver"]) == ("10.16.1.11", "13000")
    assert (found["max_threads"], found["compatible"]) == ("3", "none")
    assert found["hardware_compatibility_level"] == "NONE"


def test_times_are_kept_for_the_next_build(
    trt: FakeTensorRt, adapter: TensorRtGpu, make: Make, tmp_path: Path
) -> None:
    make()
    assert trt.seen["cache"] == b"10.16.1.11:"
    (file,) = (tmp_path / "cache").iterdir()
    assert file.name == "tensorrt-10.16.1.11-nvidia-h200-sm90.timing"
    make()
    assert trt.seen["cache"] == b"10.16.1.11:+"
    trt.cuda.name = "NVIDIA L4"
    make()
    assert trt.seen["cache"] == b"10.16.1.11:"
    assert len(list((tmp_path / "cache").iterdir())) == 2


@pytest.mark.parametrize("content", [b"damaged", b"9.0:++", b"11.4.0.106:+"])
def test_times_of_another_version_are_left_alone(
    trt: FakeTensorRt, make: Make, tmp_path: Path, content: bytes
) -> None:
    make()
    (file,) = (tmp_path / "cache").iterdir()
    file.write_bytes(content)
    make()
    assert trt.seen["cache"] == b"10.16.1.11:"
    assert file.read_bytes() == b"10.16.1.11:+"


def test_a_place_that_takes_no_cache_does_not_matter(
    trt: FakeTensorRt, mixed: Architecture, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    model = emit(mixed, random_weights(mixed))
    TensorRtGpu(tmp_path / "file").build(model, DYNAMIC, WORKLOAD, tmp_path)


@pytest.mark.parametrize("cut", [0, 1, 100, -1])
def test_a_truncated_engine_is_refused_before_it_is_touched(
    adapter: TensorRtGpu, make: Make, cut: int
) -> None:
    artifact = make()
    path = Path(artifact.path)
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(InputError, match=r"model\.engine must have the \d+ bytes"):
        adapter.load(artifact)


def test_a_changed_engine_is_refused_before_it_is_touched(adapter: TensorRtGpu, make: Make) -> None:
    artifact = make()
    data = bytearray(Path(artifact.path).read_bytes())
    data[len(data) // 2] ^= 1
    Path(artifact.path).write_bytes(data)
    with pytest.raises(InputError, match="was changed; copy or build"):
        adapter.load(artifact)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, r"model\.json must be an existing file|model\.json is not there"),
        ("", "as it was written"),
        ("[]", "as it was written"),
        ('{"tensorrt": "10"}', "as it was written"),
    ],
)
def test_an_engine_without_its_record_is_refused(
    adapter: TensorRtGpu, make: Make, text: str | None, said: str
) -> None:
    artifact = make()
    record = Path(artifact.path).with_suffix(".json")
    if text is None:
        record.unlink()
    else:
        record.write_text(text)
    with pytest.raises(InputError, match=said) as caught:
        adapter.load(artifact)
    assert "\n" not in str(caught.value)


def test_a_record_of_a_newer_format_is_refused(adapter: TensorRtGpu, make: Make) -> None:
    artifact = make()
    path = Path(artifact.path)
    write_record(path, dataclasses.replace(read_record(path), format_version=2))
    with pytest.raises(InputError, match="format version 1"):
        adapter.load(artifact)


@pytest.mark.parametrize(
    ("compatible", "built", "here", "fits"),
    [
        ("none", "10.16.1.11", "10.16.1.11", True),
        ("none", "10.16.1.11", "10.16.1.12", False),
        ("none", "10.16.1.11", "11.4.0.106", False),
        ("version", "10.16.1.11", "11.4.0.106", True),
        ("version", "10.16.1.11", "10.17.0.1", True),
        ("version", "11.4.0.106", "10.16.1.11", False),
        ("version", "10.16.1.11", "12.0.0.1", False),
        ("hardware", "10.16.1.11", "10.17.0.1", False),
    ],
)
def test_an_engine_of_another_version(
    trt: FakeTensorRt,
    adapter: TensorRtGpu,
    make: Make,
    compatible: Any,
    built: str,
    here: str,
    fits: bool,
) -> None:
    trt.__version__ = built
    artifact = make(compatible=compatible)
    trt.__version__ = here
    if fits:
        assert adapter.load(artifact).properties["tensorrt"] == built
    else:
        with pytest.raises(SurroundingsError, match=rf"{built}.* here is {here}; build or export"):
            adapter.load(artifact)


@pytest.mark.parametrize(
    ("compatible", "name", "capability", "fits"),
    [
        ("none", "NVIDIA L4", (8, 9), False),
        ("none", "NVIDIA H100", (9, 0), False),
        ("version", "NVIDIA L4", (8, 9), False),
        ("hardware", "NVIDIA L4", (8, 9), True),
        ("hardware", "Tesla T4", (7, 5), False),
    ],
)
def test_an_engine_of_another_gpu(
    trt: FakeTensorRt,
    adapter: TensorRtGpu,
    make: Make,
    compatible: Any,
    name: str,
    capability: tuple[int, int],
    fits: bool,
) -> None:
    artifact = make(compatible=compatible)
    trt.cuda.name, trt.cuda.capability = name, capability
    if fits:
        assert adapter.load(artifact).properties["gpu"] == name
    else:
        with pytest.raises(SurroundingsError, match=rf"here is {name}, compute capability"):
            adapter.load(artifact)


@pytest.mark.parametrize(
    ("refused", "kind", "said"),
    [
        (
            "deserialize_cuda_engine",
            InputError,
            r"load .*model\.engine, but says: engine is broken",
        ),
        ("create_execution_context", SurroundingsError, "make room"),
        ("Runtime", SurroundingsError, "must start, but says: CUDA initialization failure"),
    ],
)
def test_nothing_in_the_place_of_an_object_is_an_error(
    trt: FakeTensorRt, adapter: TensorRtGpu, make: Make, refused: str, kind: Any, said: str
) -> None:
    artifact = make()
    trt.refuses.add(refused)
    with pytest.raises(kind, match=said):
        adapter.load(artifact)


@pytest.mark.parametrize(
    ("refused", "said"),
    [
        ("Builder", r"start, but says: CUDA initialization .*35; pybind11"),
        ("build_serialized_network", "build an engine, but says: out of luck.$"),
        ("add_optimization_profile", "take the profile 1x1 to 4x40"),
    ],
)
def test_a_build_that_fails_is_one_quiet_sentence(
    trt: FakeTensorRt,
    make: Make,
    refused: str,
    said: str,
    capfd: pytest.CaptureFixture[str],
) -> None:
    trt.refuses.add(refused)
    with pytest.raises(SurroundingsError, match=said) as caught:
        make()
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


def test_a_model_that_it_cannot_read_is_refused(
    trt: FakeTensorRt, adapter: TensorRtGpu, mixed: Architecture, tmp_path: Path
) -> None:
    model = emit(mixed, random_weights(mixed))
    del model.graph.node[0]
    with pytest.raises(InputError, match="read the model, but says: no ONNX at all; choose"):
        adapter.build(model, DYNAMIC, WORKLOAD, tmp_path)
    assert not (tmp_path / "model.engine").exists()


def test_a_version_that_is_too_old_is_refused(trt: FakeTensorRt, make: Make) -> None:
    trt.__version__ = "8.6.1"
    with pytest.raises(InputError, match=r"10 or 11, but 8\.6\.1 is installed"):
        make()


def test_an_engine_of_a_foreign_model_is_refused(adapter: TensorRtGpu, make: Make) -> None:
    artifact = make()
    path = Path(artifact.path)
    data = path.read_bytes().partition(b"\n")[0] + b"\n" + foreign([4]).SerializeToString()
    path.write_bytes(data)
    sha256 = hashlib.sha256(data).hexdigest()
    write_record(path, dataclasses.replace(read_record(path), file_bytes=len(data), sha256=sha256))
    with pytest.raises(InputError, match=r"each batch x seq, but .*rank 1"):
        adapter.load(artifact)


def test_an_option_that_reads_back_differently_is_an_error(
    trt: FakeTensorRt, adapter: TensorRtGpu, make: Make
) -> None:
    artifact = make(precision="fp16")
    other = dataclasses.replace(artifact, target=dataclasses.replace(DYNAMIC, precision="bf16"))
    with pytest.raises(SurroundingsError, match=r"precision=bf16, but .* fp16"):
        adapter.load(other)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"spinning": True}, "never spin"),
        ({"cuda_graph": True}, "must have fixed shapes"),
        ({"precision": "int8_dynamic"}, "fp32, tf32, fp16, bf16, int8"),
        ({"provider": "cpu"}, "on cuda"),
    ],
    ids=str,
)
def test_targets_that_do_not_fit_are_refused(
    make: Make, options: dict[str, Any], said: str
) -> None:
    with pytest.raises(InputError, match=said):
        make(**options)


def test_int8_takes_texts(
    trt: FakeTensorRt, adapter: TensorRtGpu, mixed: Architecture, tmp_path: Path
) -> None:
    target = dataclasses.replace(DYNAMIC, precision="int8")
    with pytest.raises(InputError, match="texts for calibration"):
        adapter.build(emit(mixed, random_weights(mixed)), target, WORKLOAD, tmp_path)


@pytest.mark.parametrize(
    ("options", "capability", "said"),
    [
        ({"precision": "bf16"}, (7, 5), "8.0 for tensorrt-bf16-1t, but has 7.5"),
        ({"precision": "fp32"}, (7, 0), "7.5 for"),
        ({"compatible": "hardware"}, (7, 5), "8.0 for"),
    ],
    ids=str,
)
def test_a_gpu_that_is_too_old_is_refused(
    trt: FakeTensorRt,
    make: Make,
    options: dict[str, Any],
    capability: tuple[int, int],
    said: str,
) -> None:
    trt.cuda.capability = capability
    with pytest.raises(SurroundingsError, match=said):
        make(**options)


def test_a_batch_above_the_profile_is_refused(
    adapter: TensorRtGpu, make: Make, mixed: Architecture
) -> None:
    session = adapter.load(make())
    assert session.run(one_input(mixed, Workload(batch=4, seq_len=3)))["logits"].shape == (4, 5)
    with pytest.raises(InputError, match=r"to \(4, 40\), which the engine was built for"):
        session.run(one_input(mixed, Workload(batch=5, seq_len=3)))


def test_a_workload_longer_than_the_positions_is_refused(
    trt: FakeTensorRt, adapter: TensorRtGpu, mixed: Architecture, tmp_path: Path
) -> None:
    model = emit(mixed, random_weights(mixed))
    with pytest.raises(InputError, match="at most the 40 positions"):
        adapter.build(model, DYNAMIC, Workload(seq_len=41), tmp_path)


def test_a_graph_is_recorded_once_and_replayed(
    trt: FakeTensorRt, adapter: TensorRtGpu, make: Make, mixed: Architecture
) -> None:
    plain = adapter.load(make(FIXED))
    replayed = adapter.load(make(FIXED, cuda_graph=True))
    assert replayed.properties["cuda_graph"] == "True"
    for number, inputs in enumerate(make_inputs(mixed.embedding, WORKLOAD, seed=5, count=3)):
        found = replayed.run(inputs)["logits"]
        np.testing.assert_allclose(found, plain.run(inputs)["logits"], atol=1e-6)
        assert trt.cuda.launches == number
    assert trt.cuda.recorded is None


def test_a_recording_that_fails_leaves_the_stream_usable(
    trt: FakeTensorRt, adapter: TensorRtGpu, make: Make, mixed: Architecture
) -> None:
    session = adapter.load(make(FIXED, cuda_graph=True))
    trt.cuda.fails["cudaGraphInstantiate"] = OUT_OF_MEMORY
    with pytest.raises(SurroundingsError, match=r"cudaGraphInstantiate.*what 2 means \(error 2\)"):
        session.run(one_input(mixed))
    assert trt.cuda.recorded is None
    trt.cuda.fails.clear()
    assert session.run(one_input(mixed))["logits"].shape == (2, 5)


def test_the_device_times_its_part_of_a_run(
    adapter: TensorRtGpu, make: Make, mixed: Architecture
) -> None:
    session = adapter.load(make())
    assert session.device_s is None
    session.run(one_input(mixed))
    assert session.device_s is not None
    assert 0 < session.device_s < 60


@pytest.mark.parametrize("refused", ["execute_async_v3", "set_input_shape"])
def test_a_run_that_fails_is_one_sentence_and_the_next_one_works(
    trt: FakeTensorRt, adapter: TensorRtGpu, make: Make, mixed: Architecture, refused: str
) -> None:
    session = adapter.load(make())
    trt.refuses.add(refused)
    with pytest.raises(SurroundingsError, match="TensorRT must"):
        session.run(one_input(mixed))
    trt.refuses.clear()
    assert session.run(one_input(mixed))["logits"].shape == (2, 5)


@pytest.mark.parametrize(
    "function", ["cudaMalloc", "cudaMallocHost", "cudaMemcpyAsync", "cudaStreamSynchronize"]
)
def test_an_error_of_cuda_is_one_sentence(
    trt: FakeTensorRt, adapter: TensorRtGpu, make: Make, mixed: Architecture, function: str
) -> None:
    session = adapter.load(make())
    trt.cuda.fails[function] = OUT_OF_MEMORY
    with pytest.raises(SurroundingsError, match=rf"take {function}, but CUDA says: what 2 means"):
        session.run(one_input(mixed))


def test_memory_is_given_back(
    trt: FakeTensorRt, adapter: TensorRtGpu, make: Make, mixed: Architecture
) -> None:
    session: Session | None = adapter.load(make())
    assert session is not None
    for seq in (3, 9, 4):
        session.run(one_input(mixed, Workload(batch=2, seq_len=seq)))
        assert len(trt.cuda.blocks) == 2 * 4  # three inputs and an output, here and there
    session = None
    gc.collect()
    assert trt.cuda.blocks == {}


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
    with pytest.raises(RuntimeMissing, match=r"cuda-bindings.*pip install 'fleetfit\[tensorrt\]'"):
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


def test_the_memory_child_runs_the_engine_as_the_adapter_does(
    trt: FakeTensorRt, adapter: TensorRtGpu, make: Make, mixed: Architecture
) -> None:
    artifact = make(precision="fp16")
    library, load = profiler.memory_child.LOADERS["tensorrt"]
    assert library() is trt
    options = json.loads(json.dumps(adapter.options(artifact.target)))
    _, run = load(artifact.path, options)
    session = adapter.load(artifact)
    for inputs in make_inputs(mixed.embedding, WORKLOAD, seed=7, count=2):
        (found,) = run(dict(inputs))
        np.testing.assert_array_equal(found, session.run(inputs)["logits"])


@pytest.mark.parametrize(
    ("refused", "fails", "said"),
    [
        ("deserialize_cuda_engine", "", "does not load"),
        ("create_execution_context", "", "does not load"),
        ("execute_async_v3", "", "does not run"),
        ("", "cudaMalloc", "cudaMalloc fails with CUDA's error 2"),
    ],
)
def test_the_memory_child_says_what_failed(
    trt: FakeTensorRt,
    adapter: TensorRtGpu,
    make: Make,
    mixed: Architecture,
    refused: str,
    fails: str,
    said: str,
) -> None:
    artifact = make()
    trt.refuses.add(refused)
    trt.cuda.fails[fails] = OUT_OF_MEMORY
    with pytest.raises(RuntimeError, match=said):
        load_and_run(artifact, adapter, mixed)


def load_and_run(artifact: Artifact, adapter: TensorRtGpu, mixed: Architecture) -> None:
    _, load = profiler.memory_child.LOADERS["tensorrt"]
    _, run = load(artifact.path, adapter.options(artifact.target))
    run(dict(one_input(mixed)))


def test_every_function_of_cuda_that_is_called_exists() -> None:
    real = pytest.importorskip("cuda.bindings.runtime")
    called = set()
    for module in (exporters._cuda, profiler.memory_child):
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


def test_layers_are_counted_by_kind_and_type() -> None:
    layers: list[Any] = [
        {"LayerType": "gemm", "Outputs": [{"Format/Datatype": "Row major linear FP16 format"}]},
        {"LayerType": "gemm", "Outputs": [{"Format/Datatype": "Half"}]},
        {"LayerType": "gemm", "Outputs": [{"Datatype": "BFloat16"}]},
        {"LayerType": "kgen", "Outputs": [{"Format/Datatype": "Int8"}]},
        {"LayerType": "NoOp", "Outputs": []},
        "a name",
    ]
    wanted = {"gemm bf16": 1, "gemm fp16": 2, "kgen int8": 1, "noop": 1, "other": 1}
    assert layer_counts(json.dumps({"Layers": layers})) == wanted
    for text in ("", "[]", "{}", '{"Layers": []}'):
        assert layer_counts(text) == {}


def test_a_profile_grows() -> None:
    with pytest.raises(InputError, match="grow from 1"):
        Profile(least=(1, 1), usual=(2, 8), most=(1, 8))
    with pytest.raises(InputError, match="grow from 1"):
        Profile(least=(0, 1), usual=(2, 8), most=(2, 8))
    one = Profile(least=(2, 8), usual=(2, 8), most=(2, 8))
    assert (str(one), one.is_dynamic) == ("2x8", False)
    assert loads(Profile, dumps(one)) == one


def test_a_copied_engine_still_loads(adapter: TensorRtGpu, make: Make, tmp_path: Path) -> None:
    artifact = make()
    moved = tmp_path / "elsewhere"
    shutil.copytree(Path(artifact.path).parent, moved)
    found = artifact_of(moved / "model.engine", artifact.target, artifact.workload)
    assert (found.file_bytes, found.sha256) == (artifact.file_bytes, artifact.sha256)
    assert adapter.load(found).outputs == ("logits",)
    record = json.loads((moved / "model.json").read_text())
    assert from_json(type(read_record(moved / "model.engine")), record).precision == "fp32"
