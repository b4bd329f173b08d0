"""The noise floor: how far two measurements of the same thing are apart."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fleetfit import InputError, Measurement, ProtocolName, Target, Workload
from fleetfit.comparable import check_comparable
from fleetfit.statistics import percentile

__all__ = ["NoiseFloor", "noise_floors"]


@dataclass(frozen=True, kw_only=True, slots=True)
class NoiseFloor:
    """Relative differences of median latencies that were measured again.

    A predictor that knew the truth would differ from one of two measurements by 1 / sqrt(2) of it.
    """

    protocol: ProtocolName
    target: Target
    workload: Workload
    pairs: int
    median: float
    """Of |first - again| over their mean."""
    p95: float
    """95th percentile (order statistic)."""

    def __post_init__(self) -> None:
        """There are pairs, differences are not negative."""
        if self.pairs < 1 or not 0 <= self.median <= self.p95:
            raise InputError(
                "A noise floor must have pairs and 0 <= median <= p95, but got "
                f"{self.pairs}, {self.median}, {self.p95}."
            )


def noise_floors(repeated: Sequence[Sequence[Measurement]]) -> tuple[NoiseFloor, ...]:
    """A floor for each target, workload and protocol in measurements of the same jobs.

    Each item of ``repeated`` is the first measurement of a job and those that came again
    (``Store.repeated``). Of those that are ``ok`` every one is compared with the one before it:
    the others are off by what disturbed them. Raises InputError for more than one machine, or
    version of a protocol, a runtime or a driver.
    """
    stable = [[m for m in rows if m.status == "ok"] for rows in repeated]
    _check_one_machine([m for rows in stable for m in rows])
    found: dict[tuple[ProtocolName, Target, Workload], list[float]] = {}
    for rows in stable:
        for one, again in itertools.pairwise(rows):
            query, times = one.job.query, (one.latency_p50_s, again.latency_p50_s)
            apart = 2 * abs(times[0] - times[1]) / sum(times)
            found.setdefault((one.job.protocol, query.target, query.workload), []).append(apart)
    return tuple(
        NoiseFloor(
            protocol=protocol,
            target=target,
            workload=workload,
            pairs=len(apart),
            median=float(np.median(apart)),
            p95=percentile(apart, 0.95),
        )
        for (protocol, target, workload), apart in sorted(found.items(), key=_order)
    )


def _check_one_machine(measurements: Sequence[Measurement]) -> None:
    check_comparable(measurements)
    names = sorted({m.device.name for m in measurements})
    if len(names) > 1:
        raise InputError(
            f"Measurements of a noise floor must be of one machine, but got {', '.join(names)}; "
            "choose one of them."
        )


def _order(item: tuple[tuple[ProtocolName, Target, Workload], list[float]]) -> tuple[str, ...]:
    protocol, target, workload = item[0]
    return str(target), str(workload), protocol
