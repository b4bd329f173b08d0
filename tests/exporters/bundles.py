"""What the suites of bundles share beside their fixtures."""

from __future__ import annotations

import dataclasses
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from exporters import (
    Cost,
    Licence,
    Manifest,
    Parity,
    TaskMetric,
    emit,
    make_inputs,
    random_weights,
    runtime_of,
    write_bundle,
)
from exporters.manifest import read_manifest
from fleetfit import (
    Architecture,
    DeviceInfo,
    Embedding,
    FeedForward,
    Head,
    Layer,
    SelfAttention,
    Target,
    Workload,
    to_json,
)
from fleetfit.files import sha256_of
from supernet.network import EncoderNetwork

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "i", "lost", "my", "card", "where", "is", "it"]
"""Their places are their ids."""
LABELS = ("lost_card", "other", "refund", "top_up", "transfer")
Write = Callable[[Manifest], Path]
"""Writes a bundle of random weights and returns its directory."""


def build_mixed(head: Head | None = None) -> Architecture:
    """Projections, stacked inner layers, odd orders, heads x head_dim other than the width."""
    return Architecture(
        embedding=Embedding(vocab_size=100, width=24, max_positions=40, segments=2),
        layers=(
            Layer(
                width=32,
                sublayers=(SelfAttention(heads=2, head_dim=12), FeedForward(widths=(48, 40))),
                projected=True,
                source=0,
            ),
            Layer(
                width=32,
                sublayers=(FeedForward(widths=(64,)), SelfAttention(heads=4, head_dim=8)),
                projected=False,
                source=1,
            ),
            Layer(
                width=16,
                sublayers=(SelfAttention(heads=1, head_dim=16),),
                projected=True,
                source=2,
            ),
        ),
        head=head or Head(kind="classification", pooling="mean", outputs=5),
    )


def build_device() -> DeviceInfo:
    """A made-up machine without bf16."""
    return DeviceInfo(
        name="here",
        cpu_model="test",
        cpu_flags=("avx2",),
        cores=2,
        memory_bytes=2**33,
        machine="x86_64",
        system="Linux",
    )


def build_tokenizer() -> str:
    """The text of a ``tokenizer.json`` of WORDS."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    made = Tokenizer(models.WordPiece({w: i for i, w in enumerate(WORDS)}, unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer()
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    # As some checkpoints come; a bundle must not be misled by it.
    made.enable_padding(length=37)
    made.enable_truncation(5)
    return made.to_str()


def build_manifest(**changes: Any) -> Manifest:
    """Of a classification of five labels on ONNX Runtime, dynamic, batches of 1."""
    whole = Manifest(
        architecture=build_mixed(),
        device=build_device(),
        target=Target(runtime="onnxruntime"),
        workload=Workload(seq_len=16),
        parity=Parity(max_abs_diff=1e-6, mean_abs_diff=1e-7, limit=1e-4, shapes=((1, 16),)),
        max_length=12,
        session={"threads": "1"},
        budgets=("latency_p50<=8ms",),
        predicted=Cost(latency_p50_s=0.007),
        measured=Cost(latency_p50_s=0.0071, memory_bytes=1e8),
        metric=TaskMetric(name="accuracy", data="made up", value=0.9, source_value=0.92),
        pooling="mean",
        labels=LABELS,
        licences=(Licence(part="weights", licence="Apache-2.0", source="here"),),
        provenance={"weights": "random"},
    )
    return dataclasses.replace(whole, **changes)


def build_spans(**changes: Any) -> Manifest:
    """Of a network that finds spans, with rows that a passage does not fit in."""
    arch = build_mixed(Head(kind="span", outputs=2))
    wide = Workload(batch=3, seq_len=16)
    none: dict[str, Any] = {"labels": (), "pooling": None, "pairs": True}
    return build_manifest(architecture=arch, max_length=16, workload=wide, **none, **changes)


def build_bundle(path: Path, manifest: Manifest | None = None) -> Path:
    """Write a bundle of random weights to ``path``, which is returned."""
    chosen = manifest or build_manifest()
    arch, target, workload = chosen.architecture, chosen.target, chosen.workload
    weights = random_weights(arch)
    model = emit(arch, weights, workload=workload if target.shapes == "fixed" else None)
    seen = make_inputs(arch.embedding, workload, seed=0, count=4)
    with tempfile.TemporaryDirectory() as scratch:
        built = runtime_of(target).build(model, target, workload, Path(scratch), calibration=seen)
        write_bundle(path, chosen, model=built, tokenizer=build_tokenizer(), weights=weights)
    return path


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
