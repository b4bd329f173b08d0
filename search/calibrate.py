"""Predictions corrected by verification: surveys are short, and a machine drifts between days."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fleetfit import InputError, LayerTable, Measurement, Metric, Target, Workload
from predictors.prediction import Prediction
from search.cost import CostModel, Costs

__all__ = ["Calibrated", "calibrate"]

_LATENCIES: tuple[Metric, ...] = ("latency_p50", "latency_p90")


@dataclass(frozen=True, kw_only=True)
class Calibrated:
    """A cost model whose predictions in some targets are multiplied by a factor.

    One measured network hardly moves a learned model; the ratio measured / predicted of verified
    networks moves all of their target.
    """

    model: CostModel
    factors: Mapping[Target, float]

    def __post_init__(self) -> None:
        """Factors are above 0."""
        if any(not 0 < f < float("inf") for f in self.factors.values()):
            raise InputError(f"Factors must be above 0, but got {list(self.factors.values())}.")

    def predict_table(self, table: LayerTable, target: Target, workload: Workload) -> Prediction:
        """See CostModel."""
        found = self.model.predict_table(table, target, workload)
        factor = self.factors.get(target, 1.0)
        return Prediction(
            mean=found.mean * factor, lower=found.lower * factor, upper=found.upper * factor
        )


def calibrate(
    costs: Costs, verified: Sequence[Measurement], workload: Workload
) -> dict[Metric, CostModel]:
    """``costs`` with latencies scaled, in each target, by the median of measured / predicted.

    ``verified``: measurements by the verify protocol; those of other workloads are passed over.
    """
    rows = [m for m in verified if m.job.query.workload == workload]
    scaled: dict[Metric, CostModel] = dict(costs)
    for metric in _LATENCIES:
        if metric in costs and rows:
            ratios: dict[Target, list[float]] = {}
            for row in rows:
                query = row.job.query
                table = LayerTable.of([query.architecture])
                found = costs[metric].predict_table(table, query.target, workload)
                measured = row.latency_p50_s if metric == "latency_p50" else row.latency_p90_s
                ratios.setdefault(query.target, []).append(measured / float(found.mean[0]))
            factors = {target: float(np.median(found)) for target, found in ratios.items()}
            scaled[metric] = Calibrated(model=costs[metric], factors=factors)
    return scaled
