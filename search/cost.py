"""What the search asks of a cost model, and what is derived from latency."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from fleetfit import InputError, LayerTable, Metric, Target, Workload
from predictors.exact import FileSize, ParameterCount
from predictors.prediction import FloatArray, Prediction

__all__ = [
    "CostModel",
    "Costs",
    "Estimate",
    "FloatArray",
    "predict",
    "with_exact",
]


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


def with_exact(costs: Costs) -> dict[Metric, CostModel]:
    """``costs`` and, where they have none of their own, the exact models of params and size."""
    return {"params": ParameterCount(), "size": FileSize(), **costs}


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
