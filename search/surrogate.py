"""A Gaussian process over architectures, to choose which proposals deserve an evaluation.

An evaluation costs about a second, a proposal far less than a millisecond, so many are drawn and
few are evaluated. Kernel and scales are chosen by marginal likelihood from a small grid
(Rasmussen & Williams 2006, algorithm 2.1 and equation 5.8).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self

import numpy as np

from fleetfit import QUANTIZED, Architecture, FeedForward, Precision, SelfAttention
from search.cost import FloatArray

__all__ = ["Features", "Surrogate"]

_LENGTHS: Final = (0.5, 1.0, 2.0)
_LINEAR: Final = (0.3, 1.0, 3.0)
_NOISE: Final = (1e-4, 1e-2, 1e-1)
_CAUTION: Final = 1.0
"""Standard deviations taken off a proposal's loss, so that unknown regions are seen."""


class Features:
    """Numbers that describe an architecture by the source layers it keeps, about 0 to 1."""

    def __init__(self, largest: Architecture) -> None:
        """``largest`` gives the scales and the number of source layers."""
        self._layers = 1 + max(y.source for y in largest.layers)
        self._embedding = largest.embedding.width
        rows = [_row(largest, i) for i in range(len(largest.layers))]
        self._scale = np.maximum(np.max(rows, axis=0), 1.0)

    def __call__(self, pairs: Sequence[tuple[Architecture, Precision]]) -> FloatArray:
        """N x F."""
        return np.array([self._one(*pair) for pair in pairs])

    def _one(self, arch: Architecture, precision: Precision) -> FloatArray:
        per_layer = np.zeros((self._layers, 4))
        for i, layer in enumerate(arch.layers):
            per_layer[layer.source, :3] += _row(arch, i) / self._scale
            per_layer[layer.source, 3] += 1.0
        widths = np.array([arch.embedding.width, *(y.width for y in arch.layers)])
        rest = [
            arch.embedding.width / self._embedding,
            len(arch.layers) / self._layers,
            float((np.diff(widths) != 0).sum()) / self._layers,
            float(widths.min()) / self._scale[0],
            0.0 if precision == "fp32" else 1.0,
            *(float(precision == other) for other in QUANTIZED),
        ]
        means = per_layer[:, :3].sum(axis=0) / len(arch.layers)
        return np.concatenate([per_layer.ravel(), means, rest])


def _row(arch: Architecture, index: int) -> FloatArray:
    layer = arch.layers[index]
    heads = sum(s.heads * s.head_dim for s in layer.sublayers if isinstance(s, SelfAttention))
    inner = sum(sum(s.widths) for s in layer.sublayers if isinstance(s, FeedForward))
    return np.array([layer.width, heads, inner], dtype=np.float64)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Kernel:
    length: float
    linear: float
    noise: float

    def __call__(self, a: FloatArray, b: FloatArray) -> FloatArray:
        squared = ((a[:, None, :] - b[None, :, :]) ** 2).sum(axis=2)
        smooth = np.exp(-squared / (2 * self.length**2))
        return np.asarray(smooth + self.linear * (a @ b.T))


class Surrogate:
    """Predicts losses from features; deterministic."""

    def fit(self, x: FloatArray, y: FloatArray) -> Self:
        """``x`` N x F, ``y`` N losses, N >= 2."""
        self._center = x.mean(axis=0)
        self._spread = np.where(x.std(axis=0) > 1e-9, x.std(axis=0), 1.0) * np.sqrt(x.shape[1])
        self._mean, self._scale = float(y.mean()), float(y.std()) or 1.0
        rows, values = self._scaled(x), (y - self._mean) / self._scale
        grid = [
            _Kernel(length=length, linear=linear, noise=noise)
            for length, linear, noise in itertools.product(_LENGTHS, _LINEAR, _NOISE)
        ]
        self._kernel = max(grid, key=lambda k: _evidence(k, rows, values))
        self._rows, self._values = rows, values
        return self

    def predict(self, x: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Mean and standard deviation of the loss of each row of ``x`` (N x F)."""
        mean, std = self._posterior(self._scaled(x), self._rows, self._values)
        return mean * self._scale + self._mean, std * self._scale

    def choose(self, x: FloatArray, count: int) -> list[int]:
        """Rows of ``x`` worth evaluating together, most promising first.

        Greedy on mean - std; each choice is then taken for granted at its predicted mean, which
        lowers the deviation around it and keeps the batch apart.
        """
        rest, rows, values = self._scaled(x), self._rows, self._values
        chosen: list[int] = []
        for _ in range(min(count, len(x))):
            mean, std = self._posterior(rest, rows, values)
            score = mean - _CAUTION * std
            score[chosen] = np.inf
            best = int(np.argmin(score))
            chosen.append(best)
            rows = np.concatenate([rows, rest[best : best + 1]])
            values = np.append(values, mean[best])
        return chosen

    def _scaled(self, x: FloatArray) -> FloatArray:
        return np.asarray((x - self._center) / self._spread)

    def _posterior(
        self, at: FloatArray, rows: FloatArray, values: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        kernel = self._kernel
        lower = np.linalg.cholesky(kernel(rows, rows) + kernel.noise * np.eye(len(rows)))
        half = np.linalg.solve(lower, kernel(rows, at))
        mean = half.T @ np.linalg.solve(lower, values)
        prior = 1.0 + kernel.linear * (at**2).sum(axis=1)
        return mean, np.sqrt(np.maximum(prior - (half**2).sum(axis=0), 1e-12))


def _evidence(kernel: _Kernel, rows: FloatArray, values: FloatArray) -> float:
    lower = np.linalg.cholesky(kernel(rows, rows) + kernel.noise * np.eye(len(rows)))
    half = np.linalg.solve(lower, values)
    return float(-half @ half / 2 - np.log(np.diag(lower)).sum())
