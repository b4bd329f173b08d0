"""Costs that follow from the architecture alone: parameters, and nearly so the file size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import numpy as np
import numpy.typing as npt

from fleetfit.counts import macs, parameters
from fleetfit.query import QUANTIZED, Query, Target, Workload
from fleetfit.table import HEADS, LayerTable
from predictors.base import Predictor
from predictors.checks import checked_rows
from predictors.prediction import FloatArray, Prediction

__all__ = ["FileSize", "ParameterCount"]

_GRAPH_BYTES = (4096.0, 2048.0, 512.0)
"""Of the graph: for the network, each sub-layer, each projection."""
_MARGIN_BYTES = 8192.0
_LOOSE_BYTES, _LOOSE_SHARE = 2.0**19, 0.02
"""Margin where a runtime or NNCF writes the file, and of int8's other graph."""


class ParameterCount(Predictor):
    """Parameters, embeddings counted; exact, equal on every target."""

    def fit(
        self, queries: Sequence[Query], y: npt.ArrayLike, *, noise: npt.ArrayLike | None = None
    ) -> Self:
        """Check the data; there is nothing to learn."""
        checked_rows(queries, y, noise)
        return self

    def predict_table(self, table: LayerTable, target: Target, workload: Workload) -> Prediction:
        """See Predictor."""
        return Prediction.exact(parameters(table))


class FileSize(Predictor):
    """Bytes of the model's files: of the weights, and an estimate of the graph around them.

    Weights have 4 bytes each, in int8 the matrices and word embeddings 1 with a scale for each row;
    bf16 on processors is a matter of execution, on GPUs of 2 bytes.
    """

    def fit(
        self, queries: Sequence[Query], y: npt.ArrayLike, *, noise: npt.ArrayLike | None = None
    ) -> Self:
        """Check the data; there is nothing to learn."""
        checked_rows(queries, y, noise)
        return self

    def predict_table(self, table: LayerTable, target: Target, workload: Workload) -> Prediction:
        """See Predictor."""
        mean = _weight_bytes(table, target) + _counts(table) @ np.array(_GRAPH_BYTES)
        margin = _MARGIN_BYTES
        if target.precision in QUANTIZED or target.provider == "cuda":
            margin = _LOOSE_BYTES + _LOOSE_SHARE * mean
        return Prediction(mean=mean, lower=mean - margin, upper=mean + margin)


def _weight_bytes(table: LayerTable, target: Target) -> FloatArray:
    every = np.asarray(parameters(table), dtype=np.float64)
    if target.precision in QUANTIZED:
        one = macs(table, Workload(batch=1, seq_len=1))
        matrices = one.projections + one.attention_linear + one.feed_forward
        words = table.vocab_size * _rounded_words(table, target)
        inner = (3 * table.heads * table.head_dim + table.ff_sum).sum(axis=(1, 2))
        columns = inner + (table.width[:, :, None] * (table.kind > 0)).sum(axis=(1, 2))
        scales = 5 * (columns + (table.projected * table.width).sum(axis=1)) + 4 * words
        saved = 3 * (matrices + words * table.embedding_width) - scales
        return np.asarray(4 * every - saved)
    half = target.provider == "cuda" and target.precision in ("bf16", "fp16")
    return np.asarray((2 if half else 4) * every)


def _rounded_words(table: LayerTable, target: Target) -> npt.NDArray[np.bool_]:
    """Which networks have their word embeddings in int8."""
    if target.runtime == "onnxruntime":  # exporters.quantize, unless the head reads them, too
        return np.asarray(table.head != HEADS.index("masked_lm"))
    return np.full(len(table), target.runtime == "openvino")  # NNCF, whatever reads them


def _counts(table: LayerTable) -> FloatArray:
    sublayers = (table.kind > 0).sum(axis=(1, 2))
    columns = (np.ones(len(table)), sublayers, table.projected.sum(axis=1))
    return np.stack(columns, axis=1).astype(np.float64)
