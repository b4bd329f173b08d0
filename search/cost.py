"""What the search asks of a cost model, the exact models, and what is derived from latency."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np

from fleetfit import InputError, LayerTable, Metric, Target, Workload, parameters
from predictors.prediction import FloatArray, Prediction

__all__ = [
    "CostModel",
    "Costs",
    "Estimate",
    "FloatArray",
    "Parameters",
    "Size",
    "predict",
    "with_exact",
]

BYTES_PER_PARAMETER: Final = 4  # model files hold float32 weights in every target
GRAPH_BYTES: Final = 2**12
LAYER_BYTES: Final = 2**12
"""Room for nodes and names beside the weights; emitted graphs take about 3.4 KiB a layer."""


class CostModel(Protocol):
    """Predicts one metric of many networks; deterministic; cheap (thousands of rows a second)."""

    def predict_table(self, table: LayerTable, target: Target, workload: Workload) -> Prediction:
        """The metric of each network of ``table``, in SI units."""


Costs = Mapping[Metric, CostModel]


@dataclass(frozen=True, kw_only=True, slots=True)
class Estimate:
    """One value of a ``Prediction``: its mean and its 90 % interval, SI units."""

    mean: float
    lower: float
    upper: float


@dataclass(frozen=True, slots=True)
class Parameters:
    """Number of parameters, exact."""

    def predict_table(self, table: LayerTable, target: Target, workload: Workload) -> Prediction:
        """See CostModel."""
        count = parameters(table).astype(np.float64)
        return Prediction.exact(count)


@dataclass(frozen=True, slots=True)
class Size:
    """Bytes of the model file: exact for the weights, an upper bound for the graph."""

    def predict_table(self, table: LayerTable, target: Target, workload: Workload) -> Prediction:
        """See CostModel."""
        weights = parameters(table).astype(np.float64) * BYTES_PER_PARAMETER
        graph = GRAPH_BYTES + LAYER_BYTES * (table.width > 0).sum(axis=1)
        return Prediction(mean=weights, lower=weights, upper=weights + graph)


def with_exact(costs: Costs) -> dict[Metric, CostModel]:
    """``costs`` and, where they have none of their own, the exact models of params and size."""
    return {"params": Parameters(), "size": Size(), **costs}


def predict(
    costs: Costs, metric: Metric, table: LayerTable, target: Target, workload: Workload
) -> Prediction:
    """One metric; throughput is batch / latency_p50, so its bounds swap.

    Raises InputError where no model of the metric was given.
    """
    needed: Metric = "latency_p50" if metric == "throughput" else metric
    if needed not in costs:
        known = ", ".join(sorted(costs)) or "none"
        raise InputError(
            f"A budget on {metric} must have a cost model of {needed}, but there are only: "
            f"{known}; learn one or leave the budget out."
        )
    found = costs[needed].predict_table(table, target, workload)
    if metric != "throughput":
        return found
    batch = workload.batch
    return Prediction(mean=batch / found.mean, lower=batch / found.upper, upper=batch / found.lower)
