"""The metrics that are learned from measurements."""

from __future__ import annotations

from typing import Literal

from fleetfit.measurement import Measurement

__all__ = ["CostMetric", "noise_of", "value_of"]

CostMetric = Literal["latency_p50", "latency_p90", "memory"]


def value_of(measurement: Measurement, metric: CostMetric) -> float | None:
    """The measured value in seconds or bytes; None where it was not measured."""
    if metric == "latency_p50":
        return measurement.latency_p50_s
    if metric == "latency_p90":
        return measurement.latency_p90_s
    return None if measurement.memory_bytes is None else float(measurement.memory_bytes)


def noise_of(measurement: Measurement, metric: CostMetric) -> float:
    """Relative standard error of the value; infinite for a latency that never became stable.

    Peak memory comes from one child, so its own noise is not known and counts as none.
    """
    if metric == "memory":
        return 0.0
    return float("inf") if measurement.status == "unstable" else measurement.noise
