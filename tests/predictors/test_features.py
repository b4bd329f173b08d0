from __future__ import annotations

import numpy as np
import pytest

from fleetfit import Architecture, Embedding, FeedForward, Layer, LayerTable, SelfAttention, Target
from fleetfit.query import Workload
from predictors import CostMetric
from predictors.fake import WORKLOAD, networks, plain
from predictors.features import (
    LATENCY_TERMS,
    MEMORY_TERMS,
    SHAPE_FEATURES,
    shape_features,
    term_names,
    terms,
)
from supernet.spaces import ElasticSpace

SPACE = ElasticSpace.of(plain(6, 384, 12, 1536))
TARGET = Target(runtime="onnxruntime", threads=2)


def _named(
    arch: Architecture, workload: Workload = WORKLOAD, metric: CostMetric = "latency_p50"
) -> dict[str, float]:
    row = terms(LayerTable.of([arch]), TARGET, workload, metric=metric)[0]
    return dict(zip(term_names(metric), row, strict=True))


def test_latency_terms_of_one_layer_by_hand() -> None:
    # One layer, 48 wide, 1 head of 32, ffn 80; 2 x 10 tokens.
    got = _named(plain(1, 48, 1, 80, vocab=100), Workload(batch=2, seq_len=10))
    tokens = 20
    assert got["network"] == 1
    assert got["sublayers"] == 2
    assert got["projections"] == got["projection_macs"] == got["head_macs"] == 0
    assert got["attention_macs"] == tokens * 4 * 48 * 32
    assert got["score_macs"] == tokens * 10 * 2 * 32
    assert got["feed_forward_macs"] == tokens * 2 * 48 * 80
    assert got["softmax_elements"] == 2 * 1 * 10 * 10
    assert got["norm_elements"] == tokens * 48 * 2
    assert got["inner_elements"] == tokens * 80
    assert got["gathered_elements"] == tokens * 48
    # Columns up to 32: 48 -> 64 (o and second ffn map), 80 -> 96, q, k, v fit.
    assert got["waste_32_macs"] == tokens * (32 * 16 + 48 * 16 + 80 * 16)
    # Up to 64: 32 -> 64 for q, k, v; 48 -> 64; 80 -> 128.
    assert got["waste_64_macs"] == tokens * (3 * 48 * 32 + 32 * 16 + 48 * 48 + 80 * 16)
    assert got["weight_bytes_beyond_8mib"] == 0


def test_an_odd_head_takes_a_whole_round_of_threads() -> None:
    got = _named(plain(1, 96, 3, 64), Workload(batch=1, seq_len=10))
    assert got["softmax_elements"] == 4 * 100  # 3 heads on 2 threads: 2 rounds


def test_a_projection_is_counted_with_its_waste() -> None:
    sublayers = (SelfAttention(heads=2, head_dim=32), FeedForward(widths=(64,)))
    arch = Architecture(
        embedding=Embedding(vocab_size=10, width=32, max_positions=8, segments=2),
        layers=(Layer(width=48, sublayers=sublayers, projected=True, source=0),),
    )
    got = _named(arch, Workload(batch=1, seq_len=4))
    assert got["projections"] == 1
    assert got["projection_macs"] == 4 * 32 * 48
    # 48 -> 64 for the projection, o and the second ffn map; q, k, v (64) and ffn (64) fit.
    assert got["waste_64_macs"] == 4 * (32 * 16 + 64 * 16 + 64 * 16)


def test_weights_beyond_a_threshold_by_hand() -> None:
    # MiniLM: 6 x (4 x 384^2 + 2 x 384 x 1536) weights of 4 bytes.
    excess = 6 * (4 * 384**2 + 2 * 384 * 1536) * 4 - 24 * 2**20
    assert _named(plain(6, 384, 12, 1536))["weight_bytes_beyond_24mib"] == excess


def test_memory_terms_of_one_layer_by_hand() -> None:
    arch = plain(1, 48, 1, 80, vocab=100)
    got = _named(arch, Workload(batch=1, seq_len=10), "memory")
    assert got["matrix_bytes"] == 4 * (4 * 48 * 32 + 2 * 48 * 80)
    attention, forward = 4 * (10 * (48 + 3 * 32) + 100), 4 * 10 * (48 + 80)
    assert got["largest_activation_bytes"] == max(attention, forward)
    assert got["all_activation_bytes"] == attention + forward


@pytest.mark.parametrize("metric", ["latency_p50", "latency_p90", "memory"])
def test_terms_are_finite_and_never_negative(metric: CostMetric) -> None:
    table = LayerTable.of(networks(50, seed=0))
    got = terms(table, TARGET, WORKLOAD, metric=metric)
    names = MEMORY_TERMS if metric == "memory" else LATENCY_TERMS
    assert got.shape == (50, len(names))
    assert np.isfinite(got).all()
    assert (got >= 0).all()


def test_shape_features_by_hand() -> None:
    row = shape_features(LayerTable.of([plain(2, 80, 3, 128)]))[0]
    got = dict(zip(SHAPE_FEATURES, row, strict=True))
    assert got == {
        "depth": 2,
        "embedding_width": 80,
        "width_mean": 80,
        "width_min": 80,
        "width_max": 80,
        "inner_mean": 96,
        "inner_min": 96,
        "inner_max": 96,
        "ffn_mean": 128,
        "ffn_min": 128,
        "ffn_max": 128,
        "projections": 0,
        "width_x_inner": 80 * 96,
        "width_x_ffn": 80 * 128,
        "width_off_64": 2,
        "inner_off_64": 2,
    }


def test_padding_of_a_table_changes_no_feature() -> None:
    rng = np.random.default_rng(1)
    architectures = [SPACE.sample(rng) for _ in range(10)]
    genomes = np.stack([SPACE.genome(a) for a in architectures])
    padded = SPACE.layer_table(genomes)
    for i, arch in enumerate(architectures):
        one = LayerTable.of([arch])
        np.testing.assert_array_equal(
            terms(padded, TARGET, WORKLOAD, metric="latency_p50")[i],
            terms(one, TARGET, WORKLOAD, metric="latency_p50")[0],
        )
        np.testing.assert_allclose(shape_features(padded)[i], shape_features(one)[0], rtol=1e-12)
