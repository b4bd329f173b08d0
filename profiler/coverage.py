"""How far apart networks lie, and which candidate lies farthest from those chosen already."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Self

import numpy as np
import numpy.typing as npt

from fleetfit import IntArray, LayerTable, Workload, macs, parameters
from supernet.spaces import SearchSpace

__all__ = ["BoolArray", "FloatArray", "Metric", "Spread", "mean_sizes"]

BoolArray = npt.NDArray[np.bool_]
FloatArray = npt.NDArray[np.float64]

_WORKLOAD: Final = Workload()


@dataclass(frozen=True, kw_only=True)
class Metric:
    """Euclidean distance over what decides cost, two halves of equal weight.

    Totals: logs of multiply-accumulates by kind, parameters, depth and widths. Layers: width,
    heads x head_dim and ffn of every layer, the largest first, since cost hardly depends on their
    order. Each number is scaled by its range, each half so that two networks of the table that
    ``of`` was given are at distance 1 in it (root mean square).
    """

    low: FloatArray
    scale: FloatArray

    @classmethod
    def of(cls, table: LayerTable) -> Self:
        """The metric that suits the networks of ``table``."""
        low, scale = [], []
        for half in (_totals(table), _layers(table)):
            span = np.ptp(half, axis=0)
            span = np.where(span > 0, span, 1.0)
            apart = np.sqrt(2 * (half / span).var(axis=0).sum()) or 1.0
            low.append(half.min(axis=0))
            scale.append(span * apart)
        return cls(low=np.concatenate(low), scale=np.concatenate(scale))

    def points(self, table: LayerTable) -> FloatArray:
        """N x F; tables must be padded to one depth."""
        raw = np.concatenate([_totals(table), _layers(table)], axis=1)
        return np.asarray((raw - self.low) / self.scale)


class Spread:
    """Candidates of a space, and how far each lies from what was chosen."""

    def __init__(self, space: SearchSpace, metric: Metric) -> None:
        """No candidates, nothing chosen."""
        self._space, self._metric = space, metric
        self.genomes = np.zeros((0, len(space.gene_sizes)), dtype=np.int64)
        """Of the candidates, N x G."""
        self.distance: FloatArray = np.zeros(0)
        """N; to the nearest that was chosen, infinite before the first."""
        self._points = self._chosen = self._points_of(self.genomes)

    def add(self, genomes: IntArray) -> None:
        """More candidates."""
        points = self._points_of(genomes)
        distance = np.full(len(points), np.inf)
        for one in self._chosen:
            distance = np.minimum(distance, np.linalg.norm(points - one, axis=1))
        self.genomes = np.concatenate([self.genomes, genomes])
        self.distance = np.concatenate([self.distance, distance])
        self._points = np.concatenate([self._points, points])

    def choose(self, genome: IntArray) -> None:
        """Note that the network of ``genome`` was chosen, candidate or not."""
        (point,) = self._points_of(genome[None])
        self._chosen = np.concatenate([self._chosen, point[None]])
        away = np.linalg.norm(self._points - point, axis=1)
        self.distance = np.minimum(self.distance, away)

    def farthest(self, among: BoolArray) -> int | None:
        """The candidate ``among`` (N) those given that is farthest from all chosen."""
        if not among.any():
            return None
        return int(np.argmax(np.where(among, self.distance, -1.0)))

    def _points_of(self, genomes: IntArray) -> FloatArray:
        return self._metric.points(self._space.layer_table(genomes))


def mean_sizes(table: LayerTable) -> FloatArray:
    """N x 5: depth, embedding width, and per layer mean width, heads x head_dim and ffn."""
    depth = (table.width > 0).sum(axis=1)
    inner = (table.heads * table.head_dim).sum(axis=(1, 2))
    sums = (table.width.sum(axis=1), inner, table.ff_sum.sum(axis=(1, 2)))
    columns = (depth, table.embedding_width, *(s / depth for s in sums))
    return np.stack(columns, axis=1).astype(np.float64)


def _totals(table: LayerTable) -> FloatArray:
    """N x 9; total cost counts double."""
    count = macs(table, _WORKLOAD)
    depth = (table.width > 0).sum(axis=1)
    total = np.log(count.total)
    columns = (
        total,
        total,
        np.log1p(count.attention_linear),
        np.log1p(count.feed_forward),
        np.log1p(count.projections),
        np.log(parameters(table)),
        np.log(depth),
        np.log(table.width.sum(axis=1) / depth),
        np.log(table.embedding_width),
    )
    return np.stack(columns, axis=1).astype(np.float64)


def _layers(table: LayerTable) -> FloatArray:
    """N x 3L; absent layers count as 0."""
    inner = (table.heads * table.head_dim).sum(axis=2)
    sizes = (table.width, inner, table.ff_sum.sum(axis=2))
    return np.concatenate([-np.sort(-s, axis=1) for s in sizes], axis=1).astype(np.float64)
