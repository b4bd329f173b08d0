"""A bundle that is not as it was written is refused with the name of what is wrong."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save

from exporters import (
    Manifest,
    emit,
    load_bundle,
    model_bytes,
    random_weights,
    read_weights,
)
from fleetfit import (
    Head,
    InputError,
)
from tests.exporters.bundles import LABELS, Write, replace_file


@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json", "encoder.safetensors"])
def test_a_changed_file_is_refused_by_name(write: Write, manifest: Manifest, name: str) -> None:
    path = write(manifest)
    data = bytearray((path / name).read_bytes())
    data[len(data) // 2] ^= 1
    (path / name).write_bytes(data)
    with pytest.raises(InputError, match=rf"{name} was changed"):
        load_bundle(path)


@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json", "encoder.safetensors"])
def test_a_missing_file_is_refused_by_name(write: Write, manifest: Manifest, name: str) -> None:
    path = write(manifest)
    (path / name).unlink()
    with pytest.raises(InputError, match=rf"{name} is missing"):
        load_bundle(path)


@pytest.mark.parametrize("name", ["notes.txt", "deep/er/notes.txt", ".hidden"])
def test_an_extra_file_is_refused_by_name(write: Write, manifest: Manifest, name: str) -> None:
    path = write(manifest)
    (path / name).parent.mkdir(parents=True, exist_ok=True)
    (path / name).write_text("x")
    with pytest.raises(InputError, match=rf"{name} is extra"):
        load_bundle(path)


def test_a_link_that_leads_outside_is_refused(
    write: Write, manifest: Manifest, tmp_path: Path
) -> None:
    path = write(manifest)
    outside = tmp_path / "outside.onnx"
    (path / "model.onnx").rename(outside)
    (path / "model.onnx").symlink_to(outside)
    with pytest.raises(InputError, match=r"model\.onnx leads outside"):
        load_bundle(path)


@pytest.mark.parametrize("name", ["manifest.json", "model.onnx"])
def test_a_pipe_is_refused_and_not_waited_for(write: Write, manifest: Manifest, name: str) -> None:
    path = write(manifest)
    (path / name).unlink()
    os.mkfifo(path / name)
    with pytest.raises(InputError, match=rf"plain files, but {name} is none"):
        load_bundle(path)


@pytest.mark.parametrize("name", ["manifest.json", "model.onnx"])
def test_a_link_to_itself_or_to_nothing_is_refused(
    write: Write, manifest: Manifest, name: str
) -> None:
    path = write(manifest)
    for target in (name, "nothing"):
        (path / name).unlink()
        (path / name).symlink_to(target)
        with pytest.raises(InputError, match=name):
            load_bundle(path)


@pytest.mark.parametrize(
    "change", [{"labels": list(reversed(LABELS))}, {"max_length": 11}, {"seal": ""}], ids=str
)
def test_a_manifest_that_was_edited_is_refused_by_name(
    write: Write, manifest: Manifest, change: dict[str, Any]
) -> None:
    path = write(manifest)
    data = json.loads((path / "manifest.json").read_text())
    (path / "manifest.json").write_text(json.dumps({**data, **change}))
    with pytest.raises(InputError, match=r"manifest\.json was changed"):
        load_bundle(path)


@pytest.mark.parametrize("how", ["output", "shape"])
def test_a_model_other_than_the_manifests_is_refused(
    write: Write, manifest: Manifest, how: str
) -> None:
    path = write(manifest)
    arch = manifest.architecture.with_head(Head()) if how == "output" else manifest.architecture
    workload = manifest.workload if how == "shape" else None
    model = emit(arch, random_weights(arch), workload=workload)
    replace_file(path, "model.onnx", model_bytes(model))
    with pytest.raises(InputError, match="must give logits with named axes as its manifest says"):
        load_bundle(path)


def test_weights_of_another_precision_are_refused(write: Write, manifest: Manifest) -> None:
    path = write(manifest)
    halves = {n: w.astype(np.float16) for n, w in read_weights(path).items()}
    replace_file(path, "encoder.safetensors", save(halves))
    with pytest.raises(InputError, match="must be float32, but is float16"):
        read_weights(path)


def test_no_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="must be a directory"):
        load_bundle(tmp_path / "nothing")


@pytest.mark.parametrize(
    "place",
    ["pathlib.Path.is_dir", "pathlib.Path.exists", "exporters.bundle.sha256_of", "os.scandir"],
)
def test_what_may_not_be_read_is_refused_with_the_systems_words(
    write: Write, manifest: Manifest, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    """Stood in for: the tests may run as root, who may read everything."""
    path = write(manifest)

    def refuse(where: object, *_: object, **__: object) -> bool:
        raise PermissionError(errno.EACCES, "Permission denied", str(where))

    monkeypatch.setattr(place, refuse)
    with pytest.raises(InputError, match=r"must be readable.*Permission denied; give"):
        load_bundle(path)
