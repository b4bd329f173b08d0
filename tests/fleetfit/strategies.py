"""Hypothesis strategies for every value that travels, and the round trip they all must pass."""

from __future__ import annotations

from typing import Any, TypeVar

import hypothesis.strategies as st

from fleetfit import (
    Architecture,
    DeviceInfo,
    Embedding,
    FeedForward,
    Head,
    Health,
    Job,
    Layer,
    LinearTransform,
    Measurement,
    Query,
    SelfAttention,
    SeparableConv,
    SpanConv,
    SubLayer,
    Target,
    Workload,
    dumps,
    loads,
)

T = TypeVar("T")

sizes = st.integers(1, 70)
text = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
seconds = st.floats(1e-9, 1e3)
shares = st.floats(0, 1)

attentions = st.builds(
    SelfAttention, heads=sizes, head_dim=sizes, score=st.sampled_from(["sdp", "wma"])
)
forwards = st.builds(FeedForward, widths=st.lists(sizes, min_size=1, max_size=3).map(tuple))
plain_sublayers: st.SearchStrategy[SubLayer] = attentions | forwards
all_sublayers: st.SearchStrategy[SubLayer] = (
    plain_sublayers
    | st.builds(SeparableConv, kernel=sizes)
    | st.builds(LinearTransform, kind=st.sampled_from(["dft", "dct"]), heads=sizes, head_dim=sizes)
    | st.builds(SpanConv, kernel=sizes, heads=sizes)
)
embeddings = st.builds(
    Embedding, vocab_size=sizes, width=sizes, max_positions=sizes, segments=sizes
)
poolings = st.sampled_from(["mean", "first"])
heads: st.SearchStrategy[Head] = st.one_of(
    st.builds(Head, kind=st.sampled_from(["none", "masked_lm"])),
    st.builds(Head, kind=st.just("embedding"), pooling=poolings),
    st.builds(Head, kind=st.just("classification"), pooling=poolings, outputs=sizes),
    st.builds(Head, kind=st.just("span"), outputs=st.just(2)),
)


@st.composite
def architectures(
    draw: st.DrawFn, sublayers: st.SearchStrategy[SubLayer] = plain_sublayers
) -> Architecture:
    """Any valid architecture; with the default sub-layers one that has weights and counts."""
    embedding = draw(embeddings)
    before, layers = embedding.width, []
    for _ in range(draw(st.integers(1, 3))):
        width = draw(st.just(before) | sizes)
        layers.append(
            Layer(
                width=width,
                sublayers=tuple(draw(st.lists(sublayers, min_size=1, max_size=3))),
                projected=width != before or draw(st.booleans()),
                source=draw(st.integers(0, 11)),
            )
        )
        before = width
    return Architecture(
        embedding=embedding,
        layers=tuple(layers),
        head=draw(heads),
        activation=draw(st.sampled_from(["gelu", "gelu_tanh", "relu"])),
        norm_eps=draw(st.floats(1e-14, 0.5)),
    )


@st.composite
def workloads_with_lengths(draw: st.DrawFn, longest: int = 70) -> Workload:
    """Padded by a law of one or more lengths."""
    seq_len = draw(st.integers(1, longest))
    lengths = draw(st.lists(st.integers(1, seq_len), min_size=1, max_size=9))
    return Workload(batch=draw(st.integers(1, 9)), seq_len=seq_len, lengths=tuple(sorted(lengths)))


workloads = (
    st.builds(Workload, batch=sizes, seq_len=sizes, padding=st.floats(0, 1, exclude_max=True))
    | workloads_with_lengths()
)
targets = st.builds(
    Target,
    runtime=st.sampled_from(["onnxruntime", "openvino"]),
    precision=st.sampled_from(["fp32", "bf16"]),
    threads=sizes,
    spinning=st.booleans(),
    affinity=st.lists(st.integers(0, 63), max_size=3).map(tuple),
    shapes=st.sampled_from(["fixed", "dynamic"]),
)
queries = st.builds(
    Query, architecture=architectures(all_sublayers), target=targets, workload=workloads
)
jobs = st.builds(
    Job,
    query=queries,
    protocol=st.sampled_from(["survey", "verify"]),
    seed=st.integers(0, 2**32),
    model_sha256=st.none() | text,
)
devices = st.builds(
    DeviceInfo,
    name=text,
    cpu_model=text,
    cpu_flags=st.lists(text, max_size=3).map(tuple),
    cores=sizes,
    memory_bytes=st.integers(0, 2**40),
    machine=text,
    system=text,
    gpus=st.lists(text, max_size=2).map(tuple),
    versions=st.dictionaries(text, text, max_size=2),
)
healths = st.builds(
    Health,
    load_1m=st.none() | seconds,
    steal=st.none() | shares,
    pressure=st.none() | shares,
    reference_s=st.none() | seconds,
)
samples = st.lists(
    st.lists(seconds, min_size=1, max_size=4).map(tuple), min_size=1, max_size=3
).map(tuple)
measurements = st.builds(
    Measurement,
    job=jobs,
    device=devices,
    samples_s=samples,
    memory_bytes=st.none() | st.integers(0, 2**40),
    memory_above_imports_bytes=st.none() | st.integers(0, 2**40),
    file_bytes=st.integers(0, 2**40),
    load_s=seconds,
    health=healths,
    versions=st.dictionaries(text, text, max_size=2),
    properties=st.dictionaries(text, text, max_size=2),
    status=st.sampled_from(["ok", "noisy", "unstable"]),
)


def assert_round_trip(value: Any) -> None:
    """Read back equal, and the text of what was read is the same text."""
    written = dumps(value)
    read = loads(type(value), written)
    assert read == value
    assert dumps(read) == written
