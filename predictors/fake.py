"""A fake device whose cost law is known, for tests of predictors and of what uses them."""

from __future__ import annotations

import numpy as np

from fleetfit import (
    Architecture,
    DeviceInfo,
    Embedding,
    FeedForward,
    Head,
    Job,
    Layer,
    LayerTable,
    Measurement,
    Query,
    SelfAttention,
    Target,
    Workload,
    macs,
    parameters,
)
from predictors.prediction import FloatArray

__all__ = [
    "FAST",
    "SLOW",
    "WORKLOAD",
    "device",
    "measurements",
    "networks",
    "plain",
    "true_latency_s",
    "true_memory_bytes",
]

WORKLOAD = Workload()
FAST = Target(runtime="openvino", threads=2)
SLOW = Target(runtime="onnxruntime", threads=1)
_WIDTHS = (192, 240, 288, 336, 384)


def plain(depth: int, width: int, heads: int, ffn: int, *, vocab: int = 30522) -> Architecture:
    """A BERT encoder of equal layers with heads of 32."""
    attention = SelfAttention(heads=heads, head_dim=32)
    sublayers = (attention, FeedForward(widths=(ffn,)))
    layers = tuple(
        Layer(width=width, sublayers=sublayers, projected=False, source=i) for i in range(depth)
    )
    embedding = Embedding(vocab_size=vocab, width=width, max_positions=512, segments=2)
    head = Head(kind="embedding", pooling="mean")
    return Architecture(embedding=embedding, layers=layers, head=head)


def networks(count: int, *, seed: int) -> list[Architecture]:
    """Random members of a MiniLM-sized space: 3 to 6 layers, one change of width at most."""
    rng = np.random.default_rng(seed)
    return [_network(rng) for _ in range(count)]


def _network(rng: np.random.Generator) -> Architecture:
    depth = int(rng.integers(3, 7))
    embedding = int(rng.choice(_WIDTHS))
    first, last = (int(w) for w in rng.choice(_WIDTHS, size=2))
    cut = int(rng.integers(0, depth + 1))
    layers = []
    before = embedding
    for i in range(depth):
        width = first if i < cut else last
        attention = SelfAttention(heads=int(rng.choice((4, 6, 8, 12))), head_dim=32)
        inner = FeedForward(widths=(int(rng.choice((384, 768, 1152, 1536))),))
        layers.append(
            Layer(width=width, sublayers=(attention, inner), projected=width != before, source=i)
        )
        before = width
    return Architecture(
        embedding=Embedding(vocab_size=30522, width=embedding, max_positions=512, segments=2),
        layers=tuple(layers),
        head=Head(kind="embedding", pooling="mean"),
    )


def true_latency_s(table: LayerTable, target: Target) -> FloatArray:
    """Linear work, a fixed cost per sub-layer, and a step that no linear term describes.

    40 us a sub-layer, 100 GFLOP/s on matrices, 20 on scores; FAST is twice as fast at matrices
    and 15 % slower for embeddings that are not a multiple of 64 wide.
    """
    count = macs(table, WORKLOAD)
    rate = 2e11 if target == FAST else 1e11
    dense = count.projections + count.attention_linear + count.feed_forward
    seconds = 2 * dense / rate + 2 * count.attention_scores / 2e10
    seconds = seconds + 40e-6 * (table.kind > 0).sum(axis=(1, 2)) + 2e-4
    if target == FAST:
        seconds = seconds * np.where(table.embedding_width % 64 > 0, 1.15, 1.0)
    return np.asarray(seconds)


def true_memory_bytes(table: LayerTable) -> FloatArray:
    """60 MiB and 8.5 bytes a parameter."""
    return np.asarray(60 * 2**20 + 8.5 * parameters(table))


def device(*, cores: int = 2, openvino: str = "2026.4.1") -> DeviceInfo:
    """The machine, with other cores or another runtime where asked for."""
    return DeviceInfo(
        name="bench",
        cpu_model="A CPU",
        cpu_flags=("avx2",),
        cores=cores,
        memory_bytes=2**33,
        machine="x86_64",
        system="Linux",
        versions={"openvino": openvino, "onnxruntime": "1.31.1"},
    )


def measurements(
    architectures: list[Architecture],
    *,
    targets: tuple[Target, ...] = (FAST, SLOW),
    noise: float = 0.02,
    seed: int = 0,
) -> list[Measurement]:
    """What the synthetic device would measure: four visits of five runs, log-normal noise."""
    rng = np.random.default_rng(seed)
    table = LayerTable.of(architectures)
    memory = true_memory_bytes(table)
    rows = []
    for target in targets:
        latency = true_latency_s(table, target)
        for i, arch in enumerate(architectures):
            visits = latency[i] * np.exp(rng.normal(0, noise, size=(4, 1)))
            query = Query(architecture=arch, target=target, workload=WORKLOAD)
            rows.append(
                Measurement(
                    job=Job(query=query, protocol="survey"),
                    device=device(),
                    samples_s=tuple(tuple(float(v) for _ in range(5)) for v in visits[:, 0]),
                    memory_bytes=int(memory[i] * np.exp(rng.normal(0, 0.005))),
                    memory_above_imports_bytes=None,
                    file_bytes=int(4 * parameters(table)[i] + 5000),
                    load_s=0.1,
                )
            )
    return rows
