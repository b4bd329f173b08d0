"""Exact parameter and multiply-accumulate counts, from the layer table."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fleetfit.query import Workload
from fleetfit.table import ATTENTION, FEED_FORWARD, HEADS, IntArray, LayerTable

__all__ = ["Macs", "macs", "parameters", "rows_of"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Macs:
    """Multiply-accumulates of one inference by kind, each an array over N networks.

    Matrix products only; norms, activations, softmax and the embedding look-up are not counted.
    Padded positions are: runtimes compute them like any other. What only other tokens than the
    first need is not, where the head reads that one alone: it is not computed.
    """

    projections: IntArray
    attention_linear: IntArray
    """Query, key, value and output maps."""
    attention_scores: IntArray
    """Scores and weighted values: quadratic in the sequence length."""
    feed_forward: IntArray
    head: IntArray

    @property
    def total(self) -> IntArray:
        """Sum over the kinds."""
        body = self.projections + self.attention_linear + self.attention_scores
        return body + self.feed_forward + self.head


def parameters(table: LayerTable) -> IntArray:
    """Parameters of each network, embeddings, norms, biases and head included; shape N.

    The tied decoder of a masked-LM head counts once; its bias counts.
    """
    width = table.width[:, :, None]
    attention = table.kind == ATTENTION
    forward = table.kind == FEED_FORWARD
    inner = table.heads * table.head_dim
    rows = table.vocab_size + table.max_positions + table.segments + 2  # 2: the norm
    total: IntArray = rows * table.embedding_width
    total = total + (table.projected * table.width * (table.width_before + 1)).sum(axis=1)
    per_sub = attention * (4 * width * inner + 3 * inner + width)
    per_sub = per_sub + forward * (
        width * (table.ff_first + table.ff_last) + table.ff_products + table.ff_sum + width
    )
    per_sub = per_sub + (table.kind > 0) * 2 * width  # the norm of each sub-layer
    total += per_sub.sum(axis=(1, 2)) + _head_parameters(table)
    return total


def _head_parameters(table: LayerTable) -> IntArray:
    last, embedding = table.last_width, table.embedding_width
    masked_lm = table.head == HEADS.index("masked_lm")
    linear = (table.head == HEADS.index("classification")) | (table.head == HEADS.index("span"))
    transform = embedding * (last + 1) + 2 * embedding + table.vocab_size
    count: IntArray = masked_lm * transform + linear * table.outputs * (last + 1)
    return count


def macs(table: LayerTable, workload: Workload) -> Macs:
    """Multiply-accumulates of one inference on ``workload``."""
    tokens = workload.batch * workload.seq_len
    rows, queries = rows_of(table, workload)
    width = table.width[:, :, None]
    attention = table.kind == ATTENTION
    forward = table.kind == FEED_FORWARD
    inner = table.heads * table.head_dim
    last, embedding = table.last_width, table.embedding_width
    head = (table.head == HEADS.index("masked_lm")) * tokens * embedding * (last + table.vocab_size)
    head = head + (table.head == HEADS.index("span")) * tokens * last * table.outputs
    pooled = table.head == HEADS.index("classification")
    ff = width * (table.ff_first + table.ff_last) + table.ff_products
    entering = rows.max(axis=2, initial=0)
    projections = entering * table.projected * table.width * table.width_before
    return Macs(
        projections=projections.sum(axis=1),
        attention_linear=(attention * 2 * (rows + queries) * width * inner).sum(axis=(1, 2)),
        attention_scores=workload.seq_len * (attention * 2 * queries * inner).sum(axis=(1, 2)),
        feed_forward=(forward * rows * ff).sum(axis=(1, 2)),
        head=head + pooled * workload.batch * last * table.outputs,
    )


def rows_of(table: LayerTable, workload: Workload) -> tuple[IntArray, IntArray]:
    """Tokens that enter each sub-layer, and those that ask in it (attention), N x L x S."""
    tokens = workload.batch * workload.seq_len
    at, after = table.last_attention
    rows: IntArray = np.where(after, workload.batch, tokens)
    queries: IntArray = np.where(at | after, workload.batch, tokens)
    return rows, queries
