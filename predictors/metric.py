"""The metrics that are learned from measurements."""

from __future__ import annotations

import math
from typing import Literal

from fleetfit.measurement import Measurement
from fleetfit.statistics import relative_noise

__all__ = ["CostMetric", "noise_of", "value_of"]

_NOISY = 0.10
"""What the machine may be off by before the reference tells (``DisturbanceLimits.reference``)."""
CostMetric = Literal["latency_p50", "latency_p90", "memory"]


def value_of(measurement: Measurement, metric: CostMetric) -> float | None:
    """The measured value in seconds or bytes; None where it was not measured."""
    if metric == "latency_p50":
        return measurement.latency_p50_s
    if metric == "latency_p90":
        return measurement.latency_p90_s
    return None if measurement.memory_bytes is None else float(measurement.memory_bytes)


def noise_of(measurement: Measurement, metric: CostMetric) -> float | None:
    """Relative standard error of the value; infinite for a latency that never became stable.

    At least ``_NOISY`` for a noisy one: where a disturbance lasted, its visits agree and are all
    wrong. None for peak memory: in a survey it comes from one child, so its noise is not known.
    """
    if metric == "memory":
        return None
    if measurement.status == "unstable":
        return math.inf
    found = relative_noise(measurement.samples_s, 0.9 if metric == "latency_p90" else 0.5)
    return max(found, _NOISY) if measurement.status == "noisy" else found
