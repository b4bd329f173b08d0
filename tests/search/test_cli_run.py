"""The verb ``run``: each kind of bundle, and what it refuses."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from exporters import load_bundle
from fleetfit import Head
from tests.exporters.bundles import build_bundle, build_manifest, build_mixed, build_spans
from tests.search.cli_fakes import fleetfit, refused


def test_labels_are_the_most_probable(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = build_bundle(tmp_path / "b")
    (found,) = fleetfit(capsys, "run", path, "I lost my card", "--top", 2)["answers"]
    (whole,) = load_bundle(path).predict(["I lost my card"])
    assert list(found.items()) == list(whole.items())[:2]


def test_a_question_is_answered_from_its_context(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = build_bundle(tmp_path / "b", build_spans())
    context = "I lost my card, where is it?"
    (found,) = fleetfit(capsys, "run", path, "where is it", "--pair", context)["answers"]
    (whole,) = load_bundle(path).answer(["where is it"], [context])
    assert found["text"] == context[found["start"] : found["end"]] == whole.text
    assert found["score"] == pytest.approx(whole.score)


def test_a_question_needs_its_context(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = build_bundle(tmp_path / "b", build_spans())
    assert "--pair" in refused(capsys, 2, "run", path, "where is it")


def test_an_embedding_has_no_answer(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arch = build_mixed(Head(kind="embedding", pooling="mean"))
    path = build_bundle(tmp_path / "b", build_manifest(architecture=arch, labels=()))
    assert "but this one has embedding" in refused(capsys, 2, "run", path, "where is it")


def test_an_argument_that_is_not_utf_8_is_refused_in_a_sentence(tmp_path: Path) -> None:
    """As a shell would hand it over; Python makes lone surrogates of such bytes."""
    path = build_bundle(tmp_path / "b")
    command: list[str | bytes] = [sys.executable, "-m", "search.cli", "run", str(path), b"caf\xe9"]
    done = subprocess.run(command, capture_output=True, timeout=120, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith(b"error: Texts must be valid Unicode")
    assert b"Traceback" not in done.stderr
