"""The two measuring protocols: every constant in one place, with its meaning.

History: survey version 2 made four short visits of two longer ones. Measurements of
different versions are different jobs and never mix.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from fleetfit import DeviceInfo, InputError, Measurement

__all__ = ["SurveyProtocol", "VerifyProtocol", "is_present"]


@dataclass(frozen=True, kw_only=True, slots=True)
class SurveyProtocol:
    """Many configurations, quickly: the data that predictors learn from."""

    version: int = 2
    warmup_runs: int = 10
    """At least this many runs before any sample is kept,"""
    warmup_s: float = 0.1
    """and at least this long."""
    sample_s: float = 0.15
    """How long one visit is timed: samples of a visit agree far better than visits do."""
    min_samples: int = 5
    """Samples of a visit, however slow the network."""
    inputs: int = 8
    """Distinct inputs used in rotation."""
    visits: int = 4
    """Visits of a configuration, in different passes of random order."""
    extra_visits: int = 2
    """At most this many more, after disturbances and disagreements together."""
    agreement: float = 0.08
    """Where the middle visits differ by more (relative), another visit is made."""
    reference_every_s: float = 15.0
    """The reference network of each target is timed again after this long."""
    reference_s: float = 0.1
    """How long a reading of the reference network takes."""
    reference_limit: float = 0.10
    """Off by more from its running median: the stretch before counts as disturbed."""
    request_timeout_s: float = 300.0
    """A child that does not answer for this long is stopped."""

    def __post_init__(self) -> None:
        """Counts and times are above 0."""
        _check(self, zero_allowed=("extra_visits", "warmup_s"))


@dataclass(frozen=True, kw_only=True, slots=True)
class VerifyProtocol:
    """One configuration, carefully: what a budget is judged by."""

    version: int = 1
    processes: int = 3
    """Fresh processes; the spread between them is the noise."""
    warmup_runs: int = 10
    warmup_s: float = 0.5
    """Warm-up lasts at least so many runs and so long, then until the runs have settled:"""
    settle_runs: int = 20
    """compare the last two halves of this many runs (after pyperf):"""
    settle_quartiles: float = 0.05
    """first and third quartile within this share,"""
    settle_mad: float = 0.10
    """median absolute deviation within this share of the median."""
    settle_cap_s: float = 5.0
    """Settled or not, go on after this long,"""
    settle_cap_runs: int = 300
    """or after this many runs, or twice the least warm-up's where those are more."""
    inputs: int = 8
    """Distinct inputs used in rotation."""
    sample_s: float = 2.0
    """Sampling stops when there are at least this long,"""
    min_samples: int = 64
    """this many samples,"""
    half_width: float = 0.02
    """the bootstrap interval of the median is at most this wide to either side (relative),"""
    window_s: float = 0.5
    """and the medians of the last three windows of this length"""
    window_ratio: float = 1.10
    """differ by at most this factor;"""
    cap_s: float = 20.0
    """or after this long: the measurement is then stored as ``unstable``."""
    process_timeout_s: float = 300.0
    """A process that does not answer for this long is stopped."""

    def __post_init__(self) -> None:
        """Counts and times are above 0."""
        _check(self, zero_allowed=("warmup_s",))


def is_present(measurement: Measurement, device: DeviceInfo) -> bool:
    """Whether a survey or verification of today would be the same job under the same versions."""
    job = measurement.job
    protocol = SurveyProtocol() if job.protocol == "survey" else VerifyProtocol()
    return job.protocol_version == protocol.version and measurement.is_current(device)


def _check(protocol: SurveyProtocol | VerifyProtocol, *, zero_allowed: tuple[str, ...]) -> None:
    for field in dataclasses.fields(protocol):
        value = getattr(protocol, field.name)
        if value < 0 or (value == 0 and field.name not in zero_allowed):
            kind = type(protocol).__name__
            raise InputError(f"{kind}.{field.name} must be above 0, but got {value}.")
