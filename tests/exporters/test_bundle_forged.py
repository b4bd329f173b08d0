"""Bundles whose manifest was made to agree with a broken file: no crash, and an error that says so.

A seal is no signature: who can write the manifest can have it agree with any file.
"""

from __future__ import annotations

import dataclasses
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import onnx
import pytest

from exporters import Manifest, emit, load_bundle, random_weights
from fleetfit import Head, InputError, RuntimeName, Target
from tests.exporters.bundles import (
    Write,
    build_bundle,
    build_manifest,
    build_mixed,
    build_spans,
    build_tokenizer,
    replace_file,
)

FORGE = """
import random, sys
from pathlib import Path
import numpy as np
from exporters import load_bundle
from fleetfit import InputError, SurroundingsError
from tests.exporters.bundles import replace_file
path = Path(sys.argv[1])
whole = (path / "model.onnx").read_bytes()
draw, refused = random.Random(0), 0
for _ in range(30):
    data = bytearray(whole)
    for _ in range(draw.choice([1, 4])):
        # Most of the graph stands at the beginning and the end, weights between.
        places = draw.randrange(4000), draw.randrange(len(data)), -draw.randrange(1, 999)
        place = draw.choice(places)
        data[place] = draw.randrange(256)
    replace_file(path, "model.onnx", bytes(data))
    try:
        (found,) = load_bundle(path).predict(["I lost my card"])
        assert len(found) == 5
    except (InputError, SurroundingsError):
        refused += 1
print(refused)
"""


@pytest.fixture(params=["onnxruntime", "openvino"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    pytest.importorskip(request.param)
    runtime: RuntimeName = request.param
    return build_bundle(tmp_path / "bundle", build_manifest(target=Target(runtime=runtime)))


@pytest.mark.parametrize("share", [0.0001, 0.01, 0.5, 0.99, 0.9999])
def test_a_truncated_model_is_refused(path: Path, share: float) -> None:
    whole = (path / "model.onnx").read_bytes()
    replace_file(path, "model.onnx", whole[: max(1, int(share * len(whole)))])
    with pytest.raises(InputError, match=r"model|take"):
        load_bundle(path)


def test_a_model_with_changed_bytes_never_ends_the_process(path: Path) -> None:
    """In a child of its own: this one would end with it."""
    command = [sys.executable, "-c", FORGE, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert int(done.stdout.split()[-1]) >= 10


@pytest.mark.parametrize(
    "name", [b"input_ids", b"logits", b"vocab_size"], ids=["input", "output", "metadata"]
)
def test_names_that_are_no_text_are_refused(path: Path, name: bytes) -> None:
    model = (path / "model.onnx").read_bytes()
    replace_file(path, "model.onnx", model.replace(name, b"\xff" + name[1:]))
    with pytest.raises(InputError, match="model"):
        load_bundle(path)


HEADS = {
    "classification": Head(kind="classification", pooling="mean", outputs=5),
    "span": Head(kind="span", outputs=2),
    "embedding": Head(kind="embedding", pooling="mean"),
}


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
@pytest.mark.parametrize(
    ("kind", "other"),
    [
        ("classification", Head(kind="classification", pooling="mean", outputs=3)),
        ("classification", Head(kind="classification", pooling="mean", outputs=7)),
        ("classification", Head(kind="span", outputs=5)),
        ("span", Head(kind="span", outputs=1)),
        ("embedding", None),
    ],
    ids=["fewer", "more", "by position", "one end", "another width"],
)
def test_a_model_with_another_head_is_refused(
    tmp_path: Path, runtime: RuntimeName, kind: str, other: Head | None
) -> None:
    pytest.importorskip(runtime)
    target = Target(runtime=runtime)
    whole = build_spans(target=target) if kind == "span" else build_manifest(target=target)
    arch = build_mixed(HEADS[kind])
    if kind == "embedding":
        whole = dataclasses.replace(whole, labels=(), architecture=arch)
    path = build_bundle(tmp_path / "bundle", whole)
    if other is None:
        wider = dataclasses.replace(arch.layers[-1], width=20)
        arch = dataclasses.replace(arch, layers=(*arch.layers[:-1], wider))
    else:
        arch = dataclasses.replace(arch, head=other)
    model = emit(arch, random_weights(arch))
    replace_file(path, "model.onnx", model.SerializeToString())
    with pytest.raises(InputError, match=r"must give \w+ of the shape .* but gives"):
        load_bundle(path)


@pytest.mark.parametrize("name", ["model.bin", "model.xml"])
def test_openvinos_own_form_is_refused_where_its_parts_disagree(tmp_path: Path, name: str) -> None:
    """Weights that are cut, and a graph that asks for weights beyond their end."""
    pytest.importorskip("nncf")
    target = Target(runtime="openvino", precision="int8")
    path = build_bundle(tmp_path / "bundle", build_manifest(target=target))
    whole = (path / name).read_bytes()
    beyond = re.sub(rb'offset="\d+"', b'offset="99999999999"', whole, count=3)
    replace_file(path, name, whole[:-100] if name == "model.bin" else beyond)
    with pytest.raises(InputError, match=r"must be able to read .*model\.xml"):
        load_bundle(path)


@pytest.mark.parametrize("location", ["../outside.bin", "/absolute"])
def test_weights_outside_the_bundle_are_not_read(path: Path, location: str) -> None:
    model = onnx.load(path / "model.onnx")
    tensor = max(model.graph.initializer, key=lambda t: len(t.raw_data))
    outside = path.parent / "outside.bin"
    outside.write_bytes(tensor.raw_data)
    named = {
        "location": str(outside) if location == "/absolute" else location,
        "offset": "0",
        "length": str(len(tensor.raw_data)),
    }
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    for key, value in named.items():
        tensor.external_data.add(key=key, value=value)
    replace_file(path, "model.onnx", model.SerializeToString())
    with pytest.raises(InputError, match="must be able to"):
        load_bundle(path)


def without_unknown(data: dict[str, Any]) -> None:
    del data["model"]["vocab"]["[UNK]"]


def with_more_words(data: dict[str, Any]) -> None:
    data["model"]["vocab"]["card"] = 100


def with_another_special_id(data: dict[str, Any]) -> None:
    data["post_processor"]["cls"] = ["[CLS]", 5000]


def with_another_segment(data: dict[str, Any]) -> None:
    data["post_processor"] = {
        "type": "TemplateProcessing",
        "single": [{"Sequence": {"id": "A", "type_id": 7}}],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {},
    }


def with_many_specials(data: dict[str, Any]) -> None:
    many = [{"SpecialToken": {"id": "[CLS]", "type_id": 0}}] * 13
    data["post_processor"] = {
        "type": "TemplateProcessing",
        "single": [*many, {"Sequence": {"id": "A", "type_id": 0}}],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {"[CLS]": {"id": "[CLS]", "ids": [2], "tokens": ["[CLS]"]}},
    }


def with_a_panic(data: dict[str, Any]) -> None:
    data["normalizer"] = {"type": "Precompiled", "precompiled_charsmap": "AAAA"}


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (without_unknown, "must take any text"),
        (with_more_words, "100 words, but needs 101"),
        (with_another_special_id, "100 words, but needs 5001"),
        (with_another_segment, "2 segments, but needs 8"),
        (with_many_specials, "at most the 12 tokens .* but adds 13"),
        (with_a_panic, r"valid tokenizer\.json"),
        (dict.clear, r"valid tokenizer\.json"),
    ],
)
def test_a_tokenizer_that_does_not_fit_the_network_is_refused(
    write: Write, manifest: Manifest, change: Any, named: str
) -> None:
    path = write(manifest)
    data = json.loads(build_tokenizer())
    change(data)
    replace_file(path, "tokenizer.json", json.dumps(data).encode())
    with pytest.raises(InputError, match=named):
        load_bundle(path)
