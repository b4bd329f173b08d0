"""A manifest is read as it was written, or refused with what is wrong."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporters import (
    Manifest,
    load_bundle,
)
from exporters.manifest import read_manifest
from fleetfit import (
    Architecture,
    InputError,
    Target,
    Workload,
    dumps,
)
from tests.exporters.bundles import LABELS, Write, build_mixed


def one_segment() -> Architecture:
    arch = build_mixed()
    return dataclasses.replace(arch, embedding=dataclasses.replace(arch.embedding, segments=1))


def test_a_manifest_holds_the_lengths_of_its_workload(write: Write, manifest: Manifest) -> None:
    """Without them there is no such field: what reads format 2 without it reads these too."""
    workload = Workload(batch=2, seq_len=16, lengths=(3, 5, 16))
    path = write(dataclasses.replace(manifest, workload=workload))
    assert load_bundle(path).manifest.workload == workload
    written = json.loads((path / "manifest.json").read_text())["workload"]
    assert written == {"batch": 2, "seq_len": 16, "padding": 0, "lengths": [3, 5, 16]}
    assert "lengths" not in dumps(manifest)


def test_a_manifest_of_the_first_format_is_read(write: Write, manifest: Manifest) -> None:
    """Sealed as version 0.1 did: ``pairs`` is no field of it."""
    path = write(manifest)
    data = json.loads((path / "manifest.json").read_text())
    old = {k: v for k, v in data.items() if k != "pairs"} | {"format_version": 1, "seal": ""}
    text = json.dumps(old, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    old["seal"] = hashlib.sha256(text.encode()).hexdigest()
    (path / "manifest.json").write_text(json.dumps(old))
    found = load_bundle(path).manifest
    assert (found.format_version, found.pairs) == (1, False)
    assert found.labels == LABELS
    for change in ({"pairs": True}, {"max_length": 11}):
        (path / "manifest.json").write_text(json.dumps(old | change))
        with pytest.raises(InputError, match=r"was changed|pairs from 2"):
            load_bundle(path)


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "a/../../x", "", "a//b", "a\\..\\b", "."])
def test_a_path_that_leaves_the_directory_is_refused(
    write: Write, manifest: Manifest, name: str
) -> None:
    path = write(manifest)
    data = json.loads((path / "manifest.json").read_text())
    data["files"][name] = "0" * 64
    (path / "manifest.json").write_text(json.dumps(data))
    with pytest.raises(InputError, match="inside its directory"):
        load_bundle(path)


def test_a_newer_format_is_refused_before_its_fields_are_read(
    write: Write, manifest: Manifest
) -> None:
    path = write(manifest)
    data = json.loads((path / "manifest.json").read_text())
    (path / "manifest.json").write_text(json.dumps({**data, "format_version": 4, "new": 1}))
    with pytest.raises(InputError, match=r"format version must be 1 to 3 .*, but got 4"):
        load_bundle(path)


@pytest.mark.parametrize("where", [(), ("workload",), ("architecture", "head"), ("parity",)])
def test_unknown_fields_are_refused_by_name(
    write: Write, manifest: Manifest, where: tuple[str, ...]
) -> None:
    path = write(manifest)
    data = json.loads((path / "manifest.json").read_text())
    inner = data
    for name in where:
        inner = inner[name]
    inner["colour"] = "red"
    (path / "manifest.json").write_text(json.dumps(data))
    with pytest.raises(InputError, match="must have known fields, but got 'colour'"):
        load_bundle(path)


@pytest.mark.parametrize("version", ["2", 2.5, True, None, -1, 10**30])
def test_a_format_version_that_is_none_is_refused(
    write: Write, manifest: Manifest, version: object
) -> None:
    path = write(manifest)
    data = json.loads((path / "manifest.json").read_text())
    (path / "manifest.json").write_text(json.dumps({**data, "format_version": version}))
    with pytest.raises(InputError, match=r"format_version|format version"):
        load_bundle(path)


@pytest.mark.parametrize("content", [b"\xff\xfe", b"[" * 100_000, b"{" + b"1" * 10_000])
def test_a_manifest_that_is_no_text_or_no_json_is_refused(
    write: Write, manifest: Manifest, content: bytes
) -> None:
    path = write(manifest)
    (path / "manifest.json").write_bytes(content)
    with pytest.raises(InputError, match=r"must be UTF-8|must be JSON"):
        load_bundle(path)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", "null", '{"format_version": 1}'])
def test_a_manifest_that_is_none_is_refused(write: Write, manifest: Manifest, text: str) -> None:
    path = write(manifest)
    (path / "manifest.json").write_text(text)
    with pytest.raises(InputError, match=r"manifest\.json must be JSON|Manifest must"):
        load_bundle(path)


@given(st.text() | st.recursive(st.none() | st.integers(), lambda x: st.lists(x)).map(json.dumps))
def test_any_other_text_is_refused(text: str) -> None:
    with pytest.raises(InputError):
        read_manifest(text, "manifest.json")


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"labels": LABELS[:4]}, "5 different labels"),
        ({"labels": ("a",) * 5}, "1 different"),
        ({"max_length": 41}, "max_length <= 40"),
        ({"max_length": 1}, "2 <= max_length"),
        ({"max_length": 4, "pairs": True}, "5 <= max_length"),
        ({"labels": ()}, "5 different labels"),
        ({"pairs": True, "architecture": one_segment()}, "2 segments"),
        ({"pooling": "first"}, "pooling"),
        ({"budgets": ("latency<=8",)}, "metric"),
        ({"format_version": 0}, "format version"),
        ({"target": Target(runtime="onnxruntime", shapes="fixed"), "max_length": 17}, "<= 16"),
    ],
)
def test_a_manifest_whose_parts_do_not_fit_is_refused(
    manifest: Manifest, change: dict[str, Any], named: str
) -> None:
    with pytest.raises(InputError, match=named):
        dataclasses.replace(manifest, **change)


def test_a_model_beyond_its_parity_limit_is_not_bundled(manifest: Manifest) -> None:
    worse = dataclasses.replace(manifest.parity, max_abs_diff=1e-3)
    with pytest.raises(InputError, match="agree with PyTorch"):
        dataclasses.replace(manifest, parity=worse)
