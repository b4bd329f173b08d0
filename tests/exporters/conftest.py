"""What the suites of the exporters share."""

from __future__ import annotations

import pytest

from fleetfit import Architecture, DeviceInfo, Embedding, FeedForward, Head, Layer, SelfAttention


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
