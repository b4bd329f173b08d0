"""A bundle of an engine holds its record, and is refused where the engine does not belong."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from exporters import Manifest, emit, load_bundle, random_weights, write_bundle
from exporters.tensorrt_gpu import TensorRtGpu
from fleetfit import SurroundingsError, Target
from tests.exporters.tensorrt_fake import install_standin


def test_an_engine_is_bundled_with_its_record_and_stays_where_it_was_built(
    manifest: Manifest, tokenizer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trt = install_standin(monkeypatch)
    target = Target(runtime="tensorrt", provider="cuda", precision="fp16")
    adapter, weights = TensorRtGpu(tmp_path / "cache"), random_weights(manifest.architecture)
    model = emit(manifest.architecture, weights)
    artifact = adapter.build(model, target, manifest.workload, tmp_path / "built")
    manifest = dataclasses.replace(
        manifest, target=target, session=adapter.load(artifact).properties
    )
    path = tmp_path / "bundle"
    write_bundle(path, manifest, model=artifact, tokenizer=tokenizer, weights=weights)
    loaded = load_bundle(path)
    assert {"model.engine", "model.json"} < loaded.manifest.files.keys()
    assert "matmul fp16" in loaded.manifest.session["layers"]
    assert len(loaded.predict(["i lost my card"])[0]) == 5
    trt.cuda.name = "NVIDIA L4"
    with pytest.raises(SurroundingsError, match=r"NVIDIA H200.* here is NVIDIA L4.*export it here"):
        load_bundle(path)
