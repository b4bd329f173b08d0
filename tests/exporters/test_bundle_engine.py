"""A bundle of an engine holds its record, and is refused where the engine does not belong."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest

from exporters import Manifest, emit, load_bundle, random_weights, write_bundle
from exporters.tensorrt_gpu import TensorRtGpu
from fleetfit import InputError, SurroundingsError, Target
from tests.exporters.tensorrt_fake import FakeTensorRt

Bundle = Callable[[Target], Path]


@pytest.fixture
def bundle(
    trt: FakeTensorRt, adapter: TensorRtGpu, manifest: Manifest, tokenizer: str, tmp_path: Path
) -> Bundle:
    """Writes one of an engine."""

    def written(target: Target) -> Path:
        weights = random_weights(manifest.architecture)
        model = emit(manifest.architecture, weights)
        artifact = adapter.build(model, target, manifest.workload, tmp_path / "built")
        session = adapter.load(artifact).properties
        found = dataclasses.replace(manifest, target=target, session=session)
        path = tmp_path / "bundle"
        write_bundle(path, found, model=artifact, tokenizer=tokenizer, weights=weights)
        return path

    return written


def test_an_engine_is_bundled_with_its_record_and_stays_where_it_was_built(
    trt: FakeTensorRt, bundle: Bundle
) -> None:
    path = bundle(Target(runtime="tensorrt", provider="cuda", precision="fp16"))
    loaded = load_bundle(path)
    assert {"model.engine", "model.json"} < loaded.manifest.files.keys()
    assert "matmul fp16" in loaded.manifest.session["layers"]
    assert len(loaded.predict(["i lost my card"])[0]) == 5
    trt.cuda.name = "NVIDIA L4"
    with pytest.raises(SurroundingsError, match=r"NVIDIA H200.* here is NVIDIA L4.*export it here"):
        load_bundle(path)


def test_a_program_for_the_processor_runs_only_where_it_is_trusted(bundle: Bundle) -> None:
    path = bundle(Target(runtime="tensorrt", provider="cuda", compatible="version"))
    with pytest.raises(InputError, match=r"must be trusted.*host_code=True\), else export it here"):
        load_bundle(path)
    assert load_bundle(path, host_code=True).manifest.target.compatible == "version"
