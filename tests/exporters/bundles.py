"""What the suites of bundles share beside their fixtures."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from exporters import Manifest, random_weights
from exporters.manifest import read_manifest
from fleetfit import Architecture, to_json
from fleetfit.files import sha256_of
from supernet.network import EncoderNetwork

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "i", "lost", "my", "card", "where", "is", "it"]
"""Their places are their ids."""
LABELS = ("lost_card", "other", "refund", "top_up", "transfer")
Write = Callable[[Manifest], Path]
"""Writes a bundle of random weights and returns its directory."""


def row(ids: list[int], types: list[int] | None = None) -> dict[str, Any]:
    found = np.array([ids], dtype=np.int64)
    return {
        "input_ids": found,
        "attention_mask": np.ones_like(found),
        "token_type_ids": np.array([types or [0] * len(ids)], dtype=np.int64),
    }


def expected(
    arch: Architecture, ids: list[int], types: list[int] | None = None
) -> dict[str, float]:
    """Probabilities by PyTorch of one text of these token ids and segments."""
    inputs = row(ids, types)
    logits = EncoderNetwork.of(arch, random_weights(arch)).reference(inputs)["logits"][0]
    shares = np.exp(logits - logits.max())
    return dict(zip(LABELS, shares / shares.sum(), strict=True))


def replace_file(path: Path, name: str, content: bytes) -> None:
    """Another file of that name, with its hash in the manifest."""
    (path / name).write_bytes(content)
    data = json.loads((path / "manifest.json").read_text())
    data["files"][name] = sha256_of(path / name)
    other = read_manifest(json.dumps(data), "manifest.json").sealed()
    (path / "manifest.json").write_text(json.dumps(to_json(other)))
