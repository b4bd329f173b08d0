"""Toy problems whose optimum is known: exact costs, a loss that is a known function."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fleetfit import (
    Architecture,
    Budget,
    DeviceInfo,
    FeedForward,
    IntArray,
    Job,
    LayerTable,
    Measurement,
    Metric,
    Precision,
    Query,
    SelfAttention,
    Target,
    Workload,
    macs,
)
from predictors.prediction import Prediction
from search import Candidate, CostModel, Problem
from supernet.spaces import ElasticSpace

FP32 = Target(runtime="onnxruntime", threads=2)
OPENVINO = Target(runtime="openvino", threads=2)
BF16 = Target(runtime="openvino", precision="bf16", threads=2)
SPEED = {FP32: 1e8, OPENVINO: 1.2e8, BF16: 2e8}
WORKLOAD = Workload(seq_len=32)


@dataclass(frozen=True)
class ToyCost:
    """MACs over the target's speed and 20 us for each projection, ``spread`` to either side."""

    share: float = 1.0
    spread: float = 0.0

    def predict_table(self, table: LayerTable, target: Target, workload: Workload) -> Prediction:
        work = macs(table, workload).total / SPEED[target]
        mean = self.share * (work + 2e-5 * table.projected.sum(axis=1))
        return Prediction(mean=mean, lower=mean * (1 - self.spread), upper=mean * (1 + self.spread))


@dataclass(frozen=True)
class ToyMemory:
    """A megabyte and four bytes for each unit of embedding width and of feed-forward."""

    def predict_table(self, table: LayerTable, target: Target, workload: Workload) -> Prediction:
        inner = table.ff_sum.sum(axis=(1, 2))
        return Prediction.exact(2.0**20 + 4.0 * (100 * table.embedding_width + 32 * inner))


class ToyQuality:
    """A loss that the last layers' feed-forward and the first layers' heads matter most to."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []

    def __call__(self, pairs: Sequence[tuple[Architecture, Precision]]) -> list[float]:
        self.asked += [(arch.id, precision) for arch, precision in pairs]
        return [toy_loss(*pair) for pair in pairs]


def toy_loss(arch: Architecture, precision: Precision) -> float:
    loss = 0.1 + (0.01 if precision == "bf16" else 0.0)
    kept = {layer.source: layer for layer in arch.layers}
    for source in range(3):
        late = source / 2
        if source not in kept:
            loss += 0.4
            continue
        layer = kept[source]
        attention, forward = layer.sublayers
        assert isinstance(attention, SelfAttention)
        assert isinstance(forward, FeedForward)
        loss += (0.3 - 0.25 * late) * (1 - attention.heads / 4)
        loss += (0.02 + 0.4 * late) * (1 - forward.widths[0] / 64)
        loss += 0.5 * (1 - layer.width / 32)
    return loss + 0.1 * (1 - arch.embedding.width / 32)


def toy_costs(spread: float = 0.0) -> dict[Metric, CostModel]:
    return {
        "latency_p50": ToyCost(spread=spread),
        "latency_p90": ToyCost(share=1.2, spread=spread),
        "memory": ToyMemory(),
    }


def toy_problem(
    space: ElasticSpace,
    *budgets: str,
    targets: tuple[Target, ...] = (FP32, BF16),
    spread: float = 0.0,
) -> Problem:
    return Problem(
        space=space,
        targets=targets,
        budgets=tuple(Budget.parse(b) for b in budgets),
        costs=toy_costs(spread),
        workload=WORKLOAD,
    )


def every_member(space: ElasticSpace) -> IntArray:
    """All canonical genomes of a small space."""
    grid = np.array(list(np.ndindex(*space.gene_sizes)))
    return np.unique(space.repair(grid), axis=0)


DEVICE = DeviceInfo(
    name="toy",
    cpu_model="toy",
    cpu_flags=(),
    cores=2,
    memory_bytes=2**30,
    machine="x86_64",
    system="Linux",
)


def toy_measurement(
    candidate: Candidate, seconds: float, *, memory_bytes: int | None = 2**20
) -> Measurement:
    query = Query(architecture=candidate.architecture, target=candidate.target, workload=WORKLOAD)
    return Measurement(
        job=Job(query=query, protocol="verify"),
        device=DEVICE,
        samples_s=((seconds,) * 20,) * 3,
        memory_bytes=memory_bytes,
        memory_above_imports_bytes=None,
        file_bytes=1000,
        load_s=0.1,
    )
