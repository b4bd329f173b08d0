"""Predictions corrected by what verification measured, so that a miss is not repeated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fleetfit import InputError, LayerTable, Target, Workload
from predictors.prediction import Prediction
from search.cost import CostModel

__all__ = ["Calibrated"]


@dataclass(frozen=True, kw_only=True)
class Calibrated:
    """A cost model whose predictions in some targets are multiplied by a factor.

    One measured network hardly moves a learned model; the ratio measured / predicted of the
    network that missed moves its whole neighbourhood, which is what is ranked next.
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
