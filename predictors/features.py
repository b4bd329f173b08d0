"""Numbers about networks that decide their cost, vectorised over a layer table.

``terms``: amounts of work and data, each of which can only add cost; a roofline multiplies them
by non-negative prices. ``shape_features``: sizes for the trees that correct the roofline.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from fleetfit.counts import macs, parameters, rows_of
from fleetfit.query import Precision, Target, Workload
from fleetfit.table import ATTENTION, FEED_FORWARD, HEADS, IntArray, LayerTable
from predictors.metric import CostMetric
from predictors.prediction import BoolArray, FloatArray

__all__ = [
    "LATENCY_TERMS",
    "MEMORY_TERMS",
    "SHAPE_FEATURES",
    "shape_features",
    "term_names",
    "terms",
]

LATENCY_TERMS: Final = (
    "network",
    "sublayers",
    "projections",
    "projection_macs",
    "head_macs",
    "attention_macs",
    "score_macs",
    "feed_forward_macs",
    "softmax_elements",
    "norm_elements",
    "inner_elements",
    "gathered_elements",
    "waste_32_macs",
    "waste_64_macs",
    "weight_bytes_beyond_8mib",
    "weight_bytes_beyond_24mib",
)
MEMORY_TERMS: Final = (
    "network",
    "sublayers",
    "parameter_bytes",
    "matrix_bytes",
    "largest_activation_bytes",
    "all_activation_bytes",
)
SHAPE_FEATURES: Final = (
    "depth",
    "embedding_width",
    "width_mean",
    "width_min",
    "width_max",
    "inner_mean",
    "inner_min",
    "inner_max",
    "ffn_mean",
    "ffn_min",
    "ffn_max",
    "projections",
    "width_x_inner",
    "width_x_ffn",
    "width_off_64",
    "inner_off_64",
)
_BYTES: Final[dict[Precision, int]] = {
    "fp32": 4,
    "tf32": 4,
    "bf16": 2,
    "fp16": 2,
    "int8": 1,
    "int8_dynamic": 1,
}
_MIB: Final = 2.0**20


def term_names(metric: CostMetric) -> tuple[str, ...]:
    """Names of the columns of ``terms``."""
    return MEMORY_TERMS if metric == "memory" else LATENCY_TERMS


def terms(
    table: LayerTable, target: Target, workload: Workload, *, metric: CostMetric
) -> FloatArray:
    """Work and data of each network, N x T, columns as in ``term_names``, never negative."""
    if metric == "memory":
        return _memory_terms(table, workload)
    return _latency_terms(table, target, workload)


def _latency_terms(table: LayerTable, target: Target, workload: Workload) -> FloatArray:
    tokens = workload.batch * workload.seq_len
    count = macs(table, workload)
    _, rows = rows_of(table, workload)
    attention, there = table.kind == ATTENTION, table.kind > 0
    # Heads are spread over threads: the last round may leave some of them idle.
    rounds = -(-workload.batch * table.heads // target.threads) * target.threads
    each = rows // workload.batch
    matrix_bytes = _matrix_elements(table) * _BYTES[target.precision]
    columns = (
        np.ones(len(table)),
        there.sum(axis=(1, 2)),
        table.projected.sum(axis=1),
        count.projections,
        count.head,
        count.attention_linear,
        count.attention_scores,
        count.feed_forward,
        (attention * rounds * each).sum(axis=(1, 2)) * workload.seq_len,
        (rows * table.width[:, :, None] * there).sum(axis=(1, 2)),
        (rows * table.ff_sum).sum(axis=(1, 2)),
        tokens * table.embedding_width,
        tokens * _waste(table, 32),
        tokens * _waste(table, 64),
        # A network whose weights outgrow a cache reads them from further away at each run; the
        # sizes of caches are not known here, so two thresholds bend the line.
        np.maximum(matrix_bytes - 8 * _MIB, 0),
        np.maximum(matrix_bytes - 24 * _MIB, 0),
    )
    return np.stack(columns, axis=1).astype(np.float64)


def _memory_terms(table: LayerTable, workload: Workload) -> FloatArray:
    tokens = workload.batch * workload.seq_len
    rows, queries = rows_of(table, workload)
    inner = table.heads * table.head_dim
    scores = queries * workload.seq_len * table.heads
    # Activations stay fp32 at the borders of operators in every target.
    activation = 4 * (rows * (table.width[:, :, None] + 3 * inner + table.ff_sum) + scores)
    activation = activation * (table.kind > 0)
    masked_lm = table.head == HEADS.index("masked_lm")
    logits = 4 * tokens * table.vocab_size * masked_lm
    columns = (
        np.ones(len(table)),
        (table.kind > 0).sum(axis=(1, 2)),
        4 * parameters(table),
        4 * _matrix_elements(table),
        np.maximum(activation.max(axis=(1, 2)), logits),
        activation.sum(axis=(1, 2)) + logits,
    )
    return np.stack(columns, axis=1).astype(np.float64)


def _matrix_elements(table: LayerTable) -> FloatArray:
    """Weights of the matrix products of the layers: multiply-accumulates of a single token."""
    one = macs(table, Workload(batch=1, seq_len=1))
    return np.asarray(one.projections + one.attention_linear + one.feed_forward, np.float64)


def _waste(table: LayerTable, block: int) -> FloatArray:
    """Multiply-accumulates per token that filling output columns up to ``block`` adds, N.

    Matrix kernels compute whole blocks of output columns (16 to 64 of them on AVX-512).
    """
    width = table.width[:, :, None]
    inner = table.heads * table.head_dim
    pad_width, pad_inner = -width % block, -inner % block
    attention = 3 * width * pad_inner + inner * pad_width
    forward = width * (-table.ff_first % block) + table.ff_last * pad_width
    waste = (table.kind == ATTENTION) * attention + (table.kind == FEED_FORWARD) * forward
    projection = table.projected * table.width_before * (-table.width % block)
    return np.asarray(waste.sum(axis=(1, 2)) + projection.sum(axis=1), np.float64)


def shape_features(table: LayerTable) -> FloatArray:
    """Sizes of each network, N x F, columns as in SHAPE_FEATURES."""
    depth = (table.width > 0).sum(axis=1)
    attention = table.kind == ATTENTION
    forward = table.kind == FEED_FORWARD
    inner = table.heads * table.head_dim
    layers = np.maximum(depth, 1)
    width = table.width[:, :, None]
    columns = (
        depth,
        table.embedding_width,
        *_spread(width, width > 0),
        *_spread(inner, attention),
        *_spread(table.ff_sum, forward),
        table.projected.sum(axis=1),
        (attention * width * inner).sum(axis=(1, 2)) / layers,
        (forward * width * table.ff_sum).sum(axis=(1, 2)) / layers,
        (table.width % 64 > 0).sum(axis=1),
        (inner % 64 > 0).sum(axis=(1, 2)),
    )
    return np.stack(columns, axis=1).astype(np.float64)


def _spread(values: IntArray, there: BoolArray) -> tuple[FloatArray, IntArray, IntArray]:
    """Mean, least and greatest of the values (N x L x S) that are there; 0 where none is."""
    count = there.sum(axis=(1, 2))
    mean = (values * there).sum(axis=(1, 2)) / np.maximum(count, 1)
    least = np.where(there, values, np.iinfo(np.int64).max).min(axis=(1, 2))
    return mean, np.where(count > 0, least, 0), (values * there).max(axis=(1, 2))
