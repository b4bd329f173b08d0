"""What the suites of the exporters share."""

from __future__ import annotations

from pathlib import Path

import pytest

from exporters import (
    Cost,
    Licence,
    Manifest,
    Parity,
    TaskMetric,
    emit,
    random_weights,
    write_bundle,
)
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
)
from tests.exporters.bundles import LABELS, WORDS, Write


@pytest.fixture
def mixed() -> Architecture:
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
        head=Head(kind="classification", pooling="mean", outputs=5),
    )


@pytest.fixture
def device() -> DeviceInfo:
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


@pytest.fixture(scope="session")
def tokenizer() -> str:
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    made = Tokenizer(models.WordPiece({w: i for i, w in enumerate(WORDS)}, unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer()
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    # As some checkpoints come; a bundle must not be misled by it.
    made.enable_padding(length=37)
    made.enable_truncation(5)
    return made.to_str()


@pytest.fixture
def manifest(mixed: Architecture, device: DeviceInfo) -> Manifest:
    return Manifest(
        architecture=mixed,
        device=device,
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


@pytest.fixture
def write(tokenizer: str, tmp_path: Path) -> Write:
    def written(manifest: Manifest) -> Path:
        arch = manifest.architecture
        fixed = manifest.target.shapes == "fixed"
        weights = random_weights(arch)
        model = emit(arch, weights, workload=manifest.workload if fixed else None)
        path = tmp_path / "bundle"
        write_bundle(path, manifest, model=model, tokenizer=tokenizer, weights=weights)
        return path

    return written
