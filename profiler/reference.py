"""The reference network: small, fixed, timed again and again to see disturbances."""

from __future__ import annotations

import dataclasses

from fleetfit import (
    QUANTIZED,
    Architecture,
    Embedding,
    FeedForward,
    Layer,
    Query,
    SelfAttention,
    Target,
    Workload,
)

__all__ = ["reference_query"]


def reference_query(target: Target) -> Query:
    """Two layers, 256 wide, 4 heads, ffn 1,024, on 128 tokens: a few milliseconds on one core.

    In the target's precision, for int8 in fp32.
    """
    layers = tuple(
        Layer(
            width=256,
            sublayers=(SelfAttention(heads=4, head_dim=64), FeedForward(widths=(1024,))),
            projected=False,
            source=i,
        )
        for i in range(2)
    )
    embedding = Embedding(vocab_size=1000, width=256, max_positions=128, segments=2)
    architecture = Architecture(embedding=embedding, layers=layers)
    if target.precision in QUANTIZED:  # quantising takes seconds, and what is not here for verify
        target = dataclasses.replace(target, precision="fp32")
    return Query(architecture=architecture, target=target, workload=Workload())
