"""A survey of its own process, to be killed: store URL, number of networks, lock as arguments."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

import devices.lock
from devices import describe
from fleetfit import (
    Architecture,
    Embedding,
    FeedForward,
    Layer,
    Query,
    SelfAttention,
    Target,
    Workload,
)
from profiler import Store, SurveyProtocol, SurveySettings, plan, survey
from profiler.protocol import DisturbanceLimits
from supernet.spaces import ElasticSpace

ANYTHING_GOES = DisturbanceLimits(
    steal=10.0, other_load=1000.0, waiting=10.0, switches=10**9, reference=1000.0
)
FAST = SurveySettings(
    protocol=SurveyProtocol(visits=2, warmup_runs=2, warmup_s=0.0, sample_s=0.02, reference_s=0.02,
                            agreement=1000.0, wait_s=0.0, limits=ANYTHING_GOES)
)  # fmt: skip


def queries(count: int) -> list[Query]:
    layers = tuple(
        Layer(
            width=32,
            sublayers=(SelfAttention(heads=4, head_dim=8), FeedForward(widths=(64,))),
            projected=False,
            source=i,
        )
        for i in range(3)
    )
    embedding = Embedding(vocab_size=100, width=32, max_positions=32, segments=2)
    space = ElasticSpace.of(Architecture(embedding=embedding, layers=layers))
    target, workload = Target(runtime="onnxruntime"), Workload(seq_len=16)
    networks = plan(space, count, np.random.default_rng(0))
    return [Query(architecture=a, target=target, workload=workload) for a in networks]


if __name__ == "__main__":
    setattr(devices.lock, "PLACE", Path(sys.argv[3]))  # noqa: B010 - a constant elsewhere
    with Store(sys.argv[1]) as store:
        survey(queries(int(sys.argv[2])), store=store, device=describe(), settings=FAST)
