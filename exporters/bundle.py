"""A bundle: one directory that runs with its runtime and ``tokenizers`` alone."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx

from exporters._file import artifact_of, existing
from exporters.loaded import LoadedBundle
from exporters.manifest import Manifest, read_manifest
from exporters.questions import QuestionEncoder
from exporters.registry import runtime_of
from exporters.runtime import Artifact, Session, check_shapes
from exporters.serialize import model_bytes
from exporters.text import TextEncoder
from fleetfit import InputError, Weights, check_weights, to_json, weight_shapes
from fleetfit.files import new_directory, read_text, sha256_of, write_bytes, write_text

__all__ = ["load_bundle", "read_weights", "write_bundle"]

_MANIFEST = "manifest.json"


def write_bundle(
    path: Path,
    manifest: Manifest,
    *,
    model: onnx.ModelProto | Artifact,
    tokenizer: str,
    weights: Weights,
) -> Manifest:
    """Write the directory ``path``, whole or not at all; returns the manifest with its hashes.

    ``model`` is what runs: as emitted, or as a runtime built it; ``tokenizer`` is the text of a
    ``tokenizer.json``; ``weights`` are those of ``model``, kept for further training. ``path`` must
    be new or empty. Raises InputError where the parts do not fit each other, SurroundingsError
    where the disk refuses.
    """
    from safetensors.numpy import save

    arch = manifest.architecture
    check_weights(arch, weights)
    _check_model(model, manifest)
    TextEncoder(tokenizer, max_length=manifest.max_length).check(arch.embedding)
    ordered = {name: np.ascontiguousarray(weights[name]) for name in weight_shapes(arch)}
    with new_directory(Path(path)) as directory:
        if isinstance(model, Artifact):
            existing(model)
            manifest = dataclasses.replace(manifest, model=Path(model.path).name)
            for part in model.files:
                write_bytes(directory / part.name, part.read_bytes())
        else:
            write_bytes(directory / "model.onnx", model_bytes(model))
        write_bytes(directory / "encoder.safetensors", save(ordered))
        write_text(directory / "tokenizer.json", tokenizer)
        hashes = {name: sha256_of(directory / name) for name in _files(directory)}
        complete = dataclasses.replace(manifest, files=hashes).sealed()
        text = json.dumps(to_json(complete), indent=1, sort_keys=True, ensure_ascii=False)
        write_text(directory / _MANIFEST, text + "\n")
    return complete


def _check_model(model: onnx.ModelProto | Artifact, manifest: Manifest) -> None:
    target = manifest.target
    if not isinstance(model, Artifact):
        check_shapes(model, target, manifest.workload)
        if not runtime_of(target).takes_onnx(target):
            raise InputError(
                f"A bundle of {target} must be given what its runtime built, but got the emitted "
                "model; build it first."
            )
    elif (model.target, model.workload) != (manifest.target, manifest.workload):
        raise InputError(
            f"A bundle's model must be built for {manifest.target}, {manifest.workload}, but is "
            f"for {model.target}, {model.workload}; build it for these."
        )


def load_bundle(path: Path | str, *, host_code: bool = False) -> LoadedBundle:
    """Verify every file of a bundle and load it under its own session options.

    A changed, missing or extra file is an InputError with its name, like a path that leaves the
    directory and a newer format; RuntimeMissing and SurroundingsError as in Runtime.load.
    ``host_code``: whether a version-compatible engine may run the program that it holds, which no
    hash makes safe: only for bundles of your own.
    """
    directory = Path(path)
    manifest = _verified(directory)
    if manifest.target.compatible == "version" and not host_code:
        raise InputError(
            f"A bundle of {manifest.target} must be trusted, for its engine holds a program that "
            "runs on the processor, but nobody has said so; if it is yours, load it by "
            "load_bundle(path, host_code=True), else export it here."
        )
    arch = manifest.architecture
    tokenizer = read_text(directory / "tokenizer.json", "A bundle's tokenizer")
    encoder = TextEncoder(tokenizer, max_length=manifest.max_length)
    encoder.check(arch.embedding)
    model = directory / manifest.model
    artifact = artifact_of(model, manifest.target, manifest.workload)
    session = runtime_of(manifest.target).load(artifact)
    _check_session(session, manifest)
    spans = arch.head.kind == "span"
    questions = QuestionEncoder(tokenizer, max_length=manifest.max_length) if spans else None
    loaded = LoadedBundle(manifest=manifest, session=session, encoder=encoder, questions=questions)
    loaded.try_out()
    return loaded


def _check_session(session: Session, manifest: Manifest) -> None:
    """The adapter has looked at the inputs; here names and axes that the manifest says."""
    output, workload = manifest.architecture.head.output, manifest.workload
    fixed = manifest.target.shapes == "fixed"
    shape = (workload.batch, workload.seq_len) if fixed else None
    if session.outputs != (output,) or session.shape != shape:
        raise InputError(
            f"A bundle's model must give {output} with {shape or 'named axes'} as its manifest "
            f"says, but gives {', '.join(session.outputs)} with {session.shape or 'named axes'}; "
            "export the bundle again."
        )


def read_weights(path: Path | str) -> Weights:
    """The weights of a bundle, verified, for further training."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    manifest = _verified(Path(path))
    try:
        weights: Weights = load_file(Path(path) / "encoder.safetensors")
    except SafetensorError as exc:
        raise InputError(f"encoder.safetensors must be whole, but is not: {exc}.") from exc
    check_weights(manifest.architecture, weights)
    return weights


def _verified(directory: Path) -> Manifest:
    """The manifest of a directory whose files are exactly those that it lists."""
    try:
        return _compared(directory)
    except OSError as exc:
        raise InputError(
            f"A bundle must be readable, but of {exc.filename or directory} the system says: "
            f"{exc.strerror}; give this process the right to read it all, or copy it again."
        ) from exc


def _compared(directory: Path) -> Manifest:
    if not directory.is_dir():
        raise InputError(
            f"A bundle must be a directory, but {directory} is none; give what export wrote."
        )
    _check_file(directory, _MANIFEST)
    text = read_text(directory / _MANIFEST, "A bundle's manifest.json")
    manifest = read_manifest(text, str(directory / _MANIFEST))
    found = {name for name in _files(directory) if name != _MANIFEST}
    for name in sorted(manifest.files.keys() - found):
        raise InputError(
            f"A bundle must hold the files it lists, but {name} is missing; copy it whole."
        )
    for name in sorted(found - manifest.files.keys()):
        raise InputError(
            f"A bundle must hold only the files it lists, but {name} is extra; remove it."
        )
    for name, digest in sorted(manifest.files.items()):
        _check_file(directory, name)
        if sha256_of(directory / name) != digest:
            raise InputError(
                f"A bundle's files must be as they were written, but {name} was changed; "
                "copy or export the bundle again."
            )
    if manifest != manifest.sealed():
        raise InputError(
            f"A bundle's files must be as they were written, but {_MANIFEST} was changed; copy or "
            "export the bundle again."
        )
    return manifest


def _check_file(directory: Path, name: str) -> None:
    """Nothing outside is read, and nothing that never ends, as a pipe."""
    path = directory / name
    try:
        inside = path.resolve().is_relative_to(directory.resolve())
    except (OSError, RuntimeError):  # links in a circle
        inside = False
    if not inside:
        raise InputError(
            f"A bundle's files must lie inside it, but {name} leads outside; copy "
            "what export wrote."
        )
    if path.exists() and not path.is_file():
        raise InputError(f"A bundle must hold plain files, but {name} is none; copy it whole.")


def _raise(error: OSError) -> None:
    raise error


def _files(directory: Path) -> Iterator[str]:
    """Relative names of everything in a directory that is not itself a plain directory."""
    for base, folders, names in os.walk(directory, onerror=_raise):
        linked = [f for f in folders if (Path(base) / f).is_symlink()]
        for name in sorted([*names, *linked]):
            yield (Path(base) / name).relative_to(directory).as_posix()
