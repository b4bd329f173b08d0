"""What only a GPU can tell: every target there computes the network, and is timed by its clock."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path

import numpy as np
import pytest

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
from fleetfit import Architecture, InputError, Target, Workload

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


@pytest.mark.parametrize("cuda_graph", [False, True])
def test_the_gpus_clock_fits_the_clock_on_the_wall(
    engine: TensorRtGpu, mixed: Architecture, tmp_path: Path, cuda_graph: bool
) -> None:
    target = dataclasses.replace(ENGINE, cuda_graph=cuda_graph)
    model = emit(mixed, random_weights(mixed), workload=WORKLOAD)
    session = engine.load(engine.build(model, target, WORKLOAD, tmp_path))
    (inputs,) = make_inputs(mixed.embedding, WORKLOAD, seed=0, count=1)
    found = [session.run(inputs)["logits"] for _ in range(20)]
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


def test_layers_have_the_precision_and_the_cache_is_used(
    engine: TensorRtGpu, mixed: Architecture, tmp_path: Path
) -> None:
    model = emit(mixed, random_weights(mixed), workload=WORKLOAD)
    layers = engine.load(engine.build(model, ENGINE, WORKLOAD, tmp_path)).properties["layers"]
    assert "fp16" in layers
    (cache,) = (tmp_path / "cache").iterdir()
    before = cache.stat().st_size
    engine.build(model, ENGINE, WORKLOAD, tmp_path)
    assert 0 < cache.stat().st_size <= 1.5 * before


def test_a_truncated_engine_does_not_end_the_process(
    engine: TensorRtGpu, mixed: Architecture, tmp_path: Path
) -> None:
    model = emit(mixed, random_weights(mixed), workload=WORKLOAD)
    artifact = engine.build(model, ENGINE, WORKLOAD, tmp_path)
    path = Path(artifact.path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(InputError, match=r"model\.engine"):
        engine.load(artifact)
