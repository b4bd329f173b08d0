"""What the suites of the exporters share."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import onnx
import pytest

from exporters import Artifact, Manifest, emit, make_inputs, random_weights
from exporters.tensorrt_gpu import TensorRtGpu
from fleetfit import Architecture, DeviceInfo, Target
from tests.exporters.bundles import (
    Write,
    build_bundle,
    build_device,
    build_manifest,
    build_mixed,
    build_tokenizer,
)
from tests.exporters.ort_fake import FakeOrt, install_ort
from tests.exporters.tensorrt_fake import FakeTensorRt, install_standin
from tests.exporters.tensorrt_targets import DYNAMIC, WORKLOAD, Make


@pytest.fixture
def mixed() -> Architecture:
    """``build_mixed()``."""
    return build_mixed()


@pytest.fixture
def model(mixed: Architecture) -> onnx.ModelProto:
    """``mixed`` as it is emitted, of random weights."""
    return emit(mixed, random_weights(mixed))


@pytest.fixture
def device() -> DeviceInfo:
    """``build_device()``."""
    return build_device()


@pytest.fixture(scope="session")
def tokenizer() -> str:
    """``build_tokenizer()``."""
    return build_tokenizer()


@pytest.fixture
def manifest() -> Manifest:
    """``build_manifest()``."""
    return build_manifest()


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes ``bundle`` in the test's directory."""
    return lambda manifest: build_bundle(tmp_path / "bundle", manifest)


@pytest.fixture
def trt(monkeypatch: pytest.MonkeyPatch) -> FakeTensorRt:
    """Stand-ins for TensorRT and CUDA."""
    return install_standin(monkeypatch)


@pytest.fixture
def adapter(tmp_path: Path) -> TensorRtGpu:
    """With a cache of its own."""
    return TensorRtGpu(tmp_path / "cache")


@pytest.fixture
def make(trt: FakeTensorRt, adapter: TensorRtGpu, mixed: Architecture, tmp_path: Path) -> Make:
    """Builds ``mixed`` for a target of these options."""

    def built(target: Target = DYNAMIC, **options: Any) -> Artifact:
        target = dataclasses.replace(target, **options)
        workload = WORKLOAD if target.shapes == "fixed" else None
        model = emit(mixed, random_weights(mixed), workload=workload)
        inputs = list(make_inputs(mixed.embedding, WORKLOAD, seed=1, count=2))
        return adapter.build(model, target, WORKLOAD, tmp_path / "built", calibration=inputs)

    return built


@pytest.fixture
def ort(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeOrt:
    """A stand-in for onnxruntime-gpu."""
    return install_ort(monkeypatch, tmp_path / "wheel")
