"""A bundle comes back as it was written, and is written whole or not at all."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from exporters import (
    Manifest,
    emit,
    load_bundle,
    random_weights,
    read_weights,
    write_bundle,
)
from fleetfit import (
    InputError,
    dumps,
)
from fleetfit.files import sha256_of
from tests.exporters.bundles import Write


def test_the_manifest_comes_back_with_the_hash_of_every_file(
    write: Write, manifest: Manifest
) -> None:
    path = write(manifest)
    loaded = load_bundle(path).manifest
    assert dataclasses.replace(loaded, files={}, seal="") == manifest
    assert sorted(loaded.files) == ["encoder.safetensors", "model.onnx", "tokenizer.json"]
    assert all(sha256_of(path / name) == digest for name, digest in loaded.files.items())


def test_weights_come_back_for_further_training(write: Write, manifest: Manifest) -> None:
    found, wanted = read_weights(write(manifest)), random_weights(manifest.architecture)
    assert found.keys() == wanted.keys()
    assert all((found[name] == wanted[name]).all() for name in wanted)


def test_a_directory_that_holds_something_is_left_alone(
    write: Write, manifest: Manifest, tmp_path: Path
) -> None:
    (tmp_path / "bundle").mkdir()
    (tmp_path / "bundle" / "mine").write_text("x")
    with pytest.raises(InputError, match="new or empty"):
        write(manifest)
    assert [p.name for p in (tmp_path / "bundle").iterdir()] == ["mine"]


def test_parts_that_do_not_fit_leave_nothing_behind(
    manifest: Manifest, tokenizer: str, tmp_path: Path
) -> None:
    arch = manifest.architecture
    weights = random_weights(arch)
    model = emit(arch, weights)
    path = tmp_path / "bundle"
    with pytest.raises(InputError, match="Weights must fit"):
        write_bundle(path, manifest, model=model, tokenizer=tokenizer, weights={})
    with pytest.raises(InputError, match="tokenizer"):
        write_bundle(path, manifest, model=model, tokenizer="{}", weights=weights)
    assert not list(tmp_path.iterdir())


def test_a_tokenizer_with_more_words_than_the_network_is_refused(
    manifest: Manifest, tokenizer: str, tmp_path: Path
) -> None:
    arch = manifest.architecture
    embedding = dataclasses.replace(arch.embedding, vocab_size=5)
    arch = dataclasses.replace(arch, embedding=embedding)
    weights = random_weights(arch)
    small = dataclasses.replace(manifest, architecture=arch)
    with pytest.raises(InputError, match="5 words"):
        write_bundle(
            tmp_path / "b", small, model=emit(arch, weights), tokenizer=tokenizer, weights=weights
        )


def test_equal_bundles_have_equal_bytes(write: Write, manifest: Manifest, tmp_path: Path) -> None:
    first = write(manifest)
    first.rename(tmp_path / "first")
    second = write(manifest)
    for name in ("manifest.json", "model.onnx", "encoder.safetensors", "tokenizer.json"):
        assert (tmp_path / "first" / name).read_bytes() == (second / name).read_bytes()
    assert dumps(load_bundle(second).manifest) == dumps(load_bundle(tmp_path / "first").manifest)
