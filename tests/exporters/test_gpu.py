"""What only a GPU can tell: every target there computes the network, and is timed by its clock."""

from __future__ import annotations

import dataclasses
import re
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import exporters._tensorrt_build
from devices import describe
from exporters import (
    LIMITS,
    all_targets,
    differences,
    emit,
    make_inputs,
    model_bytes,
    plain_session,
    random_weights,
    runtime_of,
)
from exporters.tensorrt_gpu import TensorRtGpu
from fleetfit import (
    Architecture,
    Embedding,
    FeedForward,
    InputError,
    Layer,
    SelfAttention,
    SurroundingsError,
    Target,
    Workload,
)

pytestmark = pytest.mark.gpu

WORKLOAD = Workload(batch=2, seq_len=24, padding=0.3)
TARGETS = [t for t in all_targets(describe(), threads=1) if t.provider == "cuda"]
ENGINE = Target(runtime="tensorrt", provider="cuda", precision="fp16", shapes="fixed")


@pytest.fixture
def engine(tmp_path: Path) -> TensorRtGpu:
    adapter = TensorRtGpu(tmp_path / "cache")
    if not adapter.targets(describe(), threads=1):
        pytest.skip("no TensorRT, or no GPU")
    return adapter


@pytest.mark.parametrize("shapes", ["dynamic", "fixed"])
@pytest.mark.parametrize("target", TARGETS, ids=str)
def test_every_target_agrees_with_the_plain_graph(
    mixed: Architecture, tmp_path: Path, target: Target, shapes: str
) -> None:
    target = dataclasses.replace(target, shapes=shapes)  # type: ignore[arg-type]
    fixed = WORKLOAD if shapes == "fixed" else None
    model = emit(mixed, random_weights(mixed), workload=fixed)
    (tmp_path / "plain.onnx").write_bytes(model_bytes(model))
    given = list(make_inputs(mixed.embedding, WORKLOAD, seed=0, count=4))
    adapter = runtime_of(target)
    artifact = adapter.build(model, target, WORKLOAD, tmp_path / "built", calibration=given)
    session, plain = adapter.load(artifact), plain_session(str(tmp_path / "plain.onnx"))
    for inputs in given:
        diffs, scale = differences(plain.run(inputs), session.run(inputs), inputs)
        assert diffs.max() <= LIMITS[target.precision](scale)
    assert session.properties["precision"] == target.precision


def wide() -> Architecture:
    """Large enough for the kernels that real networks get."""
    sublayers = (SelfAttention(heads=4, head_dim=64), FeedForward(widths=(1024,)))
    layer = Layer(width=256, sublayers=sublayers, projected=False, source=0)
    embedding = Embedding(vocab_size=100, width=256, max_positions=128, segments=2)
    return Architecture(embedding=embedding, layers=(layer,) * 2)


@pytest.mark.parametrize("runtime", ["onnxruntime", "tensorrt"])
def test_fp32_is_nearer_than_tf32(tmp_path: Path, runtime: str) -> None:
    targets = {t.precision: t for t in TARGETS if t.runtime == runtime}
    if not {"fp32", "tf32"} <= targets.keys():
        pytest.skip(f"no {runtime}, or no GPU with TF32")
    workload = Workload(batch=8, seq_len=128)
    model = emit(wide(), random_weights(wide()))
    (tmp_path / "plain.onnx").write_bytes(model_bytes(model))
    (inputs,) = make_inputs(wide().embedding, workload, seed=0, count=1)
    wanted, errors = plain_session(str(tmp_path / "plain.onnx")).run(inputs), {}
    for precision in ("fp32", "tf32"):
        target = targets[precision]
        adapter = runtime_of(target)
        artifact = adapter.build(model, target, workload, tmp_path / precision)
        diffs, _ = differences(wanted, adapter.load(artifact).run(inputs), inputs)
        errors[precision] = float(diffs.max())
    assert 3 * errors["fp32"] < errors["tf32"]


def inspected(session: Any) -> str:
    """All that the engine inspector says, names of kernels too."""
    import tensorrt as trt

    inspector = session._engine._engine.create_engine_inspector()
    return str(inspector.get_engine_information(trt.LayerInformationFormat.JSON))


def test_layers_of_fp32_hold_nothing_narrower(engine: TensorRtGpu, tmp_path: Path) -> None:
    workload = Workload(batch=8, seq_len=128)
    target = dataclasses.replace(ENGINE, precision="fp32")
    model = emit(wide(), random_weights(wide()), workload=workload)
    session = engine.load(engine.build(model, target, workload, tmp_path))
    assert "fp32" in session.properties["layers"]
    assert re.findall("tf32|bf16|fp16|half|f16f16", inspected(session), re.IGNORECASE) == []


@pytest.mark.parametrize("cuda_graph", [False, True])
def test_the_gpus_clock_fits_the_clock_on_the_wall(
    engine: TensorRtGpu, mixed: Architecture, tmp_path: Path, cuda_graph: bool
) -> None:
    target = dataclasses.replace(ENGINE, cuda_graph=cuda_graph)
    model = emit(mixed, random_weights(mixed), workload=WORKLOAD)
    session = engine.load(engine.build(model, target, WORKLOAD, tmp_path))
    (inputs,) = make_inputs(mixed.embedding, WORKLOAD, seed=0, count=1)
    found = [session.run(inputs)["logits"] for _ in range(20)]
    assert session.properties["cuda_graph"] == str(cuda_graph)
    start = time.perf_counter()
    session.run(inputs)
    wall_s = time.perf_counter() - start
    assert session.device_s is not None
    assert 0 < session.device_s < wall_s
    for values in found[1:]:
        np.testing.assert_allclose(values, found[0], atol=1e-6)


@pytest.mark.parametrize("compatible", ["version", "hardware"])
def test_compatible_engines_load_here_too(
    engine: TensorRtGpu, mixed: Architecture, tmp_path: Path, compatible: str
) -> None:
    target = dataclasses.replace(ENGINE, compatible=compatible)  # type: ignore[arg-type]
    model = emit(mixed, random_weights(mixed), workload=WORKLOAD)
    session = engine.load(engine.build(model, target, WORKLOAD, tmp_path))
    assert session.properties["compatible"] == compatible


def test_layers_have_the_precision(
    engine: TensorRtGpu, mixed: Architecture, tmp_path: Path
) -> None:
    model = emit(mixed, random_weights(mixed), workload=WORKLOAD)
    session = engine.load(engine.build(model, ENGINE, WORKLOAD, tmp_path))
    assert "fp16" in session.properties["layers"]


def test_a_build_takes_all_times_from_the_cache(
    engine: TensorRtGpu, mixed: Architecture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import tensorrt as trt

    configure = exporters._tensorrt_build._configure

    def nothing_new(builder: Any, config: Any, recipe: Any) -> None:
        configure(builder, config, recipe)
        config.set_flag(trt.BuilderFlag.ERROR_ON_TIMING_CACHE_MISS)

    model = emit(mixed, random_weights(mixed), workload=WORKLOAD)
    engine.build(model, ENGINE, WORKLOAD, tmp_path)
    monkeypatch.setattr("exporters._tensorrt_build._configure", nothing_new)
    engine.build(model, ENGINE, WORKLOAD, tmp_path)
    with pytest.raises(SurroundingsError, match="build an engine"):
        TensorRtGpu(tmp_path / "empty").build(model, ENGINE, WORKLOAD, tmp_path)


def test_a_truncated_engine_does_not_end_the_process(
    engine: TensorRtGpu, mixed: Architecture, tmp_path: Path
) -> None:
    model = emit(mixed, random_weights(mixed), workload=WORKLOAD)
    artifact = engine.build(model, ENGINE, WORKLOAD, tmp_path)
    path = Path(artifact.path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(InputError, match=r"model\.engine"):
        engine.load(artifact)
