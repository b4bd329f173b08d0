"""The contract of Runtime, over every runtime there is.

Long because it is one contract: what every runtime must do, and what it must refuse.
"""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.util
import json
import os
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from devices import describe
from exporters import (
    RUNTIMES,
    Artifact,
    emit,
    make_inputs,
    model_bytes,
    random_weights,
    runtime,
    runtime_of,
)
from exporters.emit import SIZES
from exporters.fake import FakeRuntime
from exporters.runtime import Inputs, Runtime, check_read_back
from exporters.tensorrt_gpu import TensorRtGpu
from fleetfit import (
    Architecture,
    DeviceInfo,
    InputError,
    Provider,
    RuntimeMissing,
    RuntimeName,
    SurroundingsError,
    Target,
    Workload,
)
from tests.exporters.tensorrt_fake import install_standin

Spoil = Callable[[Inputs], Inputs]
STANDIN = "tensorrt-standin"
"""TensorRT's adapter on stand-ins for its library and for CUDA."""
ALL: dict[str, Runtime] = RUNTIMES | {"fake": FakeRuntime(), STANDIN: TensorRtGpu(Path(os.devnull))}
GPU = [name for name, found in ALL.items() if found.provider == "cuda" and name != STANDIN]
WORKLOAD = Workload(batch=2, seq_len=8)


def target_of(found: Runtime, **options: Any) -> Target:
    return Target(runtime=found.name, provider=found.provider, **options)


@pytest.fixture(params=[pytest.param(n, marks=[pytest.mark.gpu] * (n in GPU)) for n in ALL])
def any_runtime(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Runtime:
    """Those for GPUs only in ``pytest -m gpu``, where there is one."""
    found = ALL[request.param]
    if request.param == STANDIN:
        install_standin(monkeypatch)
    elif request.param in GPU and not found.targets(describe(), threads=1):
        pytest.skip(f"{request.param} or a GPU is not there")
    elif not found.available():
        pytest.skip(f"{request.param} is not installed")
    return found


@pytest.fixture
def machine(any_runtime: Runtime, device: DeviceInfo) -> DeviceInfo:
    """The made-up machine, with the GPU of this one or of the stand-in."""
    if any_runtime.provider == "cpu":
        return device
    found = describe().gpus or ("NVIDIA H200, 140 GiB, compute capability 9.0",)
    return dataclasses.replace(device, gpus=found)


@pytest.fixture
def target(any_runtime: Runtime) -> Target:
    return target_of(any_runtime)


def test_the_artifact_names_the_file_it_wrote(
    any_runtime: Runtime, target: Target, model: onnx.ModelProto, tmp_path: Path
) -> None:
    artifact = any_runtime.build(model, target, WORKLOAD, tmp_path)
    data = b"".join(path.read_bytes() for path in artifact.files)
    assert (artifact.target, artifact.workload) == (target, WORKLOAD)
    assert (artifact.file_bytes, artifact.sha256) == (len(data), hashlib.sha256(data).hexdigest())
    assert (data == model_bytes(model)) == any_runtime.takes_onnx(target)


def test_two_runs_agree_and_do_not_share_memory(
    any_runtime: Runtime,
    target: Target,
    model: onnx.ModelProto,
    mixed: Architecture,
    tmp_path: Path,
) -> None:
    session = any_runtime.load(any_runtime.build(model, target, WORKLOAD, tmp_path))
    one, other = make_inputs(mixed.embedding, WORKLOAD, seed=0, count=2)
    first = session.run(one)["logits"]
    kept = first.copy()
    session.run(other)
    np.testing.assert_array_equal(first, kept)
    np.testing.assert_allclose(session.run(one)["logits"], kept, atol=1e-6)


def test_a_dynamic_session_takes_every_shape(
    any_runtime: Runtime,
    target: Target,
    model: onnx.ModelProto,
    mixed: Architecture,
    tmp_path: Path,
) -> None:
    artifact = any_runtime.build(model, target, WORKLOAD, tmp_path)
    session = any_runtime.load(artifact)
    assert session.shape is None
    for batch, seq in ((1, 1), (3, 40), (2, 5), (3, 40)):
        (inputs,) = make_inputs(
            mixed.embedding, Workload(batch=batch, seq_len=seq), seed=0, count=1
        )
        found = session.run(inputs)["logits"]
        assert found.shape == (batch, 5)
        fresh = any_runtime.load(artifact).run(inputs)["logits"]
        np.testing.assert_allclose(found, fresh, atol=1e-6)


def test_a_session_serves_threads_at_once(
    any_runtime: Runtime,
    target: Target,
    model: onnx.ModelProto,
    mixed: Architecture,
    tmp_path: Path,
) -> None:
    session = any_runtime.load(any_runtime.build(model, target, WORKLOAD, tmp_path))
    asked = make_inputs(mixed.embedding, WORKLOAD, seed=0, count=8)
    alone = [session.run(inputs)["logits"] for inputs in asked]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(session.run, [asked[k % 8] for k in range(400)]))
    for k, found in enumerate(together):
        np.testing.assert_allclose(found["logits"], alone[k % 8], atol=1e-6)


def test_a_fixed_session_takes_its_shape_only(
    any_runtime: Runtime, mixed: Architecture, tmp_path: Path
) -> None:
    target = target_of(any_runtime, shapes="fixed")
    model = emit(mixed, random_weights(mixed), workload=WORKLOAD)
    session = any_runtime.load(any_runtime.build(model, target, WORKLOAD, tmp_path))
    assert session.shape == (2, 8)
    (inputs,) = make_inputs(mixed.embedding, Workload(batch=2, seq_len=9), seed=0, count=1)
    with pytest.raises(InputError, match="2, 9"):
        session.run(inputs)


def test_properties_are_text_and_name_the_threads(
    any_runtime: Runtime, model: onnx.ModelProto, tmp_path: Path
) -> None:
    target = target_of(any_runtime, threads=2)
    session = any_runtime.load(any_runtime.build(model, target, WORKLOAD, tmp_path))
    assert all(isinstance(v, str) for v in session.properties.values())
    assert "2" in session.properties.values()


def test_every_target_for_a_device_can_be_built_and_loaded(
    any_runtime: Runtime,
    machine: DeviceInfo,
    model: onnx.ModelProto,
    mixed: Architecture,
    tmp_path: Path,
) -> None:
    targets = any_runtime.targets(machine, threads=2)
    assert targets
    given = list(make_inputs(mixed.embedding, WORKLOAD, seed=1, count=2))
    for target in targets:
        assert (target.runtime, target.provider) == (any_runtime.name, any_runtime.provider)
        assert target.threads == 2
        place = tmp_path / target.precision
        session = any_runtime.load(
            any_runtime.build(model, target, WORKLOAD, place, calibration=given)
        )
        assert session.properties.get("precision", "fp32") == target.precision


@pytest.mark.parametrize("name", ["onnxruntime", "openvino"])
def test_int8_without_calibration_is_refused(
    name: RuntimeName, model: onnx.ModelProto, tmp_path: Path
) -> None:
    target = Target(runtime=name, precision="int8")
    with pytest.raises(InputError, match="texts for calibration"):
        runtime(name).build(model, target, WORKLOAD, tmp_path)


def test_options_are_plain_data_of_the_target(any_runtime: Runtime) -> None:
    one, two = (any_runtime.options(target_of(any_runtime, threads=n)) for n in (1, 2))
    assert json.loads(json.dumps(one)) == one
    assert (one == two) == (one == {})


def test_the_version_is_text(any_runtime: Runtime) -> None:
    assert any_runtime.version()[0].isdigit()


@pytest.mark.parametrize(
    "spoil",
    [
        lambda i: {k: v for k, v in i.items() if k != "input_ids"},
        lambda i: {**i, "more": i["input_ids"]},
        lambda i: {k: v.astype(np.float32) for k, v in i.items()},
        lambda i: {k: v[0] for k, v in i.items()},
        lambda i: {**i, "attention_mask": i["attention_mask"][:, :-1]},
        lambda i: {k: np.repeat(v, 6, axis=1) for k, v in i.items()},
    ],
    ids=["missing", "unknown", "type", "rank", "unequal", "too long"],
)
def test_inputs_that_do_not_fit_are_refused(
    any_runtime: Runtime,
    target: Target,
    model: onnx.ModelProto,
    mixed: Architecture,
    tmp_path: Path,
    spoil: Spoil,
) -> None:
    session = any_runtime.load(any_runtime.build(model, target, WORKLOAD, tmp_path))
    (inputs,) = make_inputs(mixed.embedding, WORKLOAD, seed=0, count=1)
    with pytest.raises(InputError, match="Inputs must fit"):
        session.run(spoil(inputs))
    assert session.run(inputs)["logits"].shape == (2, 5)


def test_shapes_other_than_the_targets_are_refused(
    any_runtime: Runtime,
    model: onnx.ModelProto,
    target: Target,
    mixed: Architecture,
    tmp_path: Path,
) -> None:
    fixed = emit(mixed, random_weights(mixed), workload=WORKLOAD)
    with pytest.raises(InputError, match="dynamic shapes"):
        any_runtime.build(fixed, target, WORKLOAD, tmp_path)
    with pytest.raises(InputError, match="fixed shapes"):
        any_runtime.build(model, dataclasses.replace(target, shapes="fixed"), WORKLOAD, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_target_of_another_runtime_is_refused(
    any_runtime: Runtime, model: onnx.ModelProto, target: Target, tmp_path: Path
) -> None:
    other: RuntimeName = "openvino" if any_runtime.name == "onnxruntime" else "onnxruntime"
    with pytest.raises(InputError, match=any_runtime.name):
        any_runtime.build(model, dataclasses.replace(target, runtime=other), WORKLOAD, tmp_path)


@pytest.mark.parametrize("content", [None, b"", b"no model", "half"])
def test_a_missing_or_damaged_file_is_refused(
    any_runtime: Runtime,
    target: Target,
    model: onnx.ModelProto,
    tmp_path: Path,
    content: bytes | str | None,
) -> None:
    artifact = any_runtime.build(model, target, WORKLOAD, tmp_path)
    path = Path(artifact.path)
    data = path.read_bytes()
    if content is None:
        path.unlink()
    else:
        path.write_bytes(data[: len(data) // 2] if isinstance(content, str) else content)
    with pytest.raises(InputError, match=rf"{path.stem}\{path.suffix}"):
        any_runtime.load(artifact)


def test_a_session_names_its_outputs(
    any_runtime: Runtime, target: Target, model: onnx.ModelProto, tmp_path: Path
) -> None:
    session = any_runtime.load(any_runtime.build(model, target, WORKLOAD, tmp_path))
    assert session.outputs == ("logits",)


def foreign(shape: list[int | str]) -> onnx.ModelProto:
    """A model of one int64 input."""
    int64 = onnx.TensorProto.INT64
    info = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Abs", ["input_ids"], ["out"])],
        "foreign",
        [info("input_ids", int64, shape)],
        [info("out", int64, shape)],
    )
    opset = onnx.helper.make_opsetid("", 20)
    return onnx.helper.make_model(graph, ir_version=10, opset_imports=[opset])


@pytest.mark.parametrize("shape", [[], [4], [1, 2, 3], ["batch", "seq"]], ids=str)
def test_a_foreign_model_is_refused_when_loaded(
    any_runtime: Runtime,
    target: Target,
    model: onnx.ModelProto,
    tmp_path: Path,
    shape: list[int | str],
) -> None:
    if not any_runtime.takes_onnx(target):
        pytest.skip("what it loads is refused for what it is, not for its inputs")
    artifact = any_runtime.build(model, target, WORKLOAD, tmp_path)
    Path(artifact.path).write_bytes(foreign(shape).SerializeToString())
    with pytest.raises(InputError, match=rf"each batch x seq, but .*rank {len(shape)}"):
        any_runtime.load(artifact)


@pytest.mark.parametrize("size", ["many", "1" * 5000], ids=["no number", "long"])
@pytest.mark.parametrize("name", SIZES)
def test_a_size_that_is_no_number_is_refused_when_loaded(
    any_runtime: Runtime,
    target: Target,
    model: onnx.ModelProto,
    tmp_path: Path,
    name: str,
    size: str,
) -> None:
    onnx.helper.set_model_props(model, dict.fromkeys(SIZES, "40") | {name: size})
    with pytest.raises(InputError, match=r"must be a whole number .*model.* says '(many|1{200,})"):
        any_runtime.load(any_runtime.build(model, target, WORKLOAD, tmp_path))


@pytest.mark.parametrize("name", SIZES)
def test_a_model_that_lacks_one_of_its_sizes_is_refused(
    any_runtime: Runtime, target: Target, model: onnx.ModelProto, tmp_path: Path, name: str
) -> None:
    rest = {other: "40" for other in SIZES if other != name}
    onnx.helper.set_model_props(model, rest)
    with pytest.raises(InputError, match=f"must say its .* says {', '.join(rest)} alone"):
        any_runtime.load(any_runtime.build(model, target, WORKLOAD, tmp_path))


@pytest.mark.parametrize("value", [-1, 100, 2**62])
@pytest.mark.parametrize("name", ["input_ids", "token_type_ids"])
def test_ids_beyond_their_table_are_refused(
    any_runtime: Runtime,
    target: Target,
    model: onnx.ModelProto,
    mixed: Architecture,
    tmp_path: Path,
    name: str,
    value: int,
) -> None:
    session = any_runtime.load(any_runtime.build(model, target, WORKLOAD, tmp_path))
    (inputs,) = make_inputs(mixed.embedding, WORKLOAD, seed=0, count=1)
    inputs[name][1, 3] = value
    most = {"input_ids": 99, "token_type_ids": 1}[name]
    with pytest.raises(InputError, match=rf"{name} from 0 to {most}"):
        session.run(inputs)
    inputs[name][1, 3] = most
    session.run(inputs)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs affinity")
def test_a_process_that_is_not_pinned_as_stated_is_refused(
    model: onnx.ModelProto, tmp_path: Path
) -> None:
    chosen = runtime("onnxruntime")
    target = Target(runtime="onnxruntime", affinity=(4095,))
    artifact = chosen.build(model, target, WORKLOAD, tmp_path)
    with pytest.raises(SurroundingsError, match="pinned to cores"):
        chosen.load(artifact)


def test_an_option_that_reads_back_differently_is_an_error() -> None:
    target = Target(runtime="openvino")
    with pytest.raises(SurroundingsError, match="THREADS=2"):
        check_read_back(target, {"THREADS": "2"}, {"THREADS": "1"})


@pytest.mark.parametrize("name", RUNTIMES)
def test_a_missing_library_is_one_sentence(
    name: RuntimeName, device: DeviceInfo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, RUNTIMES[name].name, None)
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    assert not RUNTIMES[name].available()
    assert RUNTIMES[name].targets(device, threads=1) == ()
    with pytest.raises(RuntimeMissing, match="pip install"):
        RUNTIMES[name].version()


def test_an_unknown_runtime_is_refused() -> None:
    with pytest.raises(InputError, match="onnxruntime, openvino, onnxruntime-cuda, tensorrt"):
        runtime("tvm")


@pytest.mark.parametrize(
    ("name", "provider", "other"),
    [("openvino", "cuda", "cpu"), ("tensorrt", "cpu", "cuda")],
)
def test_a_provider_that_a_runtime_does_not_have_is_refused(
    name: RuntimeName, provider: Provider, other: str
) -> None:
    with pytest.raises(InputError, match=f"{name} must run on {other}, but got .* on {provider}"):
        runtime_of(Target(runtime=name, provider=provider))


def test_an_artifact_needs_a_file_and_a_hash() -> None:
    with pytest.raises(InputError, match="64 digits"):
        Artifact(
            target=Target(runtime="openvino"),
            workload=WORKLOAD,
            path="x",
            file_bytes=1,
            sha256="0",
        )
