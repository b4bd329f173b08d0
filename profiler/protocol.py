"""The two measuring protocols, with the meaning of every constant that can be chosen.

History: survey 2 made four short visits of two longer ones; survey 3 compares outputs before it
times and sets aside visits that other processes or the hypervisor disturbed; survey 4 keeps
networks loaded between visits where memory allows, and waits for the reference. Verify 2 looks at
the machine before and in every process, times the reference network beside the samples, adds
processes until they agree, and takes memory from three children; verify 3, like survey 4, calls
OpenVINO without wrapping inputs. Survey 5 and verify 4 time another graph: queries, keys and values
by one transposition, after the last attention only the token that the head reads. Measurements of
different versions are different jobs and never mix.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Final

from fleetfit import DeviceInfo, Health, InputError, Measurement

__all__ = ["DisturbanceLimits", "SurveyProtocol", "VerifyProtocol", "is_present"]

_FREE_CORES: Final = 0.1
"""Cores' worth of other processes that every machine has, and that disturb nothing."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DisturbanceLimits:
    """Above which a window, a visit or a process counts as disturbed."""

    steal: float = 0.01
    """Share of processor time taken by the hypervisor."""
    other_load: float = 0.05
    """Processor time of other processes, as a share of all cores; a tenth of one is always free."""
    waiting: float = 0.10
    """Share of the time in which some task waited for a processor (PSI)."""
    switches: int = 20
    """Involuntary switches of a window above twice those of the middle window."""
    reference: float = 0.10
    """The reference network is off by more from its usual level (relative)."""
    clock_share: float = 0.75
    """A GPU's clock is below this share of its default clock."""
    least_references: int = 3
    """A usual level is the median of at least so many earlier readings."""
    windows: float = 0.25
    """A process with a larger share of tagged windows is disturbed."""

    def __post_init__(self) -> None:
        """Limits are above 0."""
        _check(self, zero_allowed=("switches",))

    def other_cores(self, cores: int) -> float:
        """Cores' worth of other processes that are allowed on a machine of ``cores``."""
        return max(_FREE_CORES, self.other_load * cores)

    def allow(self, health: Health, cores: int) -> bool:
        """Whether nothing in a reading is above the limits; what is not known counts as calm."""
        steal, others = health.steal or 0.0, health.other_load or 0.0
        return steal <= self.steal and others <= self.other_cores(cores)


@dataclass(frozen=True, kw_only=True, slots=True)
class SurveyProtocol:
    """Many configurations, quickly: the data that predictors learn from."""

    version: int = 5
    warmup_runs: int = 10
    """At least this many runs before any sample is kept,"""
    warmup_s: float = 0.1
    """and at least this long."""
    sample_s: float = 0.15
    """How long one visit is timed: samples of a visit agree far better than visits do."""
    min_samples: int = 10
    """Samples of a visit, however slow the network: with fewer p90 would be the slowest run."""
    inputs: int = 8
    """Distinct inputs used in rotation."""
    visits: int = 4
    """Visits of a configuration, in different passes of random order."""
    keep_share: float = 0.25
    """Networks stay loaded between visits up to this share of the machine's memory, all targets
    together; the others are loaded at each visit."""
    extra_visits: int = 2
    """At most this many more, after disturbances and disagreements together."""
    agreement: float = 0.08
    """Where the middle visits differ by more (relative), another visit is made."""
    reference_every_s: float = 15.0
    """The reference network of each target is timed again after this long."""
    reference_s: float = 0.1
    """How long a reading of the reference network takes."""
    limits: DisturbanceLimits = field(
        default_factory=lambda: DisturbanceLimits(steal=0.05, other_load=0.10)
    )
    """Of visits, wider than in verify: there one tick of the counters is 2 to 4 %; and of the
    reference network: off by more from its usual level, the stretch before is disturbed."""
    look_s: float = 0.25
    """After a disturbed visit the machine is looked at for so long, until it is calm again;"""
    wait_s: float = 10.0
    """that takes at most this long each time (so does waiting until the reference is as usual),"""
    wait_all_s: float = 120.0
    """and at most this long each in a survey."""
    request_timeout_s: float = 300.0
    """A child that does not answer for this long is stopped."""

    def __post_init__(self) -> None:
        """Counts and times are above 0."""
        _check(
            self, zero_allowed=("extra_visits", "keep_share", "warmup_s", "wait_s", "wait_all_s")
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class VerifyProtocol:
    """One configuration, carefully: what a budget is judged by."""

    version: int = 4
    processes: int = 3
    """Fresh processes; the spread between them is the noise."""
    most_processes: int = 5
    """Up to so many, while the bootstrap interval over processes is wider than ``half_width``."""
    extra_processes: int = 3
    """At most this many more, in the place of disturbed ones."""
    disagreement: float = 0.03
    """Still wider than this to either side after the last process: flagged ``disagreeing``, for it
    may be off by 5 % and more."""
    warmup_runs: int = 10
    warmup_s: float = 0.5
    """Warm-up lasts at least so many runs and so long, then until the runs have settled:"""
    settle_runs: int = 20
    """compare the last two halves of this many runs (after pyperf):"""
    settle_quartiles: float = 0.05
    """first and third quartile within this share,"""
    settle_mad: float = 0.10
    """median absolute deviations that differ by at most this share of the median."""
    settle_cap_s: float = 5.0
    """Settled or not, go on after this long (and two halves, however slow the network),"""
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
    """or after so long: the measurement is then stored as ``unstable``."""
    slow_cap_s: float = 60.0
    """The cap of a network that is too slow for ``min_samples`` in that time."""
    reference_s: float = 0.06
    """The reference network is timed for so long after every window."""
    refresh_runs: int = 3
    """Runs after it that are not kept: they bring the network back into the caches."""
    energy_s: float = 1.0
    """On a GPU the network runs alone for so long at the end, for its energy."""
    limits: DisturbanceLimits = field(default_factory=DisturbanceLimits)
    look_s: float = 0.25
    """Before each process the machine is looked at for so long;"""
    wait_s: float = 60.0
    """while it is disturbed the process waits, in all at most this long for each measurement."""
    statistics_gap: float = 0.05
    """Medians with and without tagged windows differ by more: flagged ``disagreeing``."""
    memory_processes: int = 3
    """Children that only load and run the model; their median counts."""
    process_timeout_s: float = 300.0
    """A process that does not answer for this long is stopped,"""
    timeout_runs: int = 100
    """later by the time of so many runs of the plain graph: slow networks need 50 to settle."""

    def __post_init__(self) -> None:
        """Counts and times are above 0."""
        _check(self, zero_allowed=("warmup_s", "extra_processes", "refresh_runs", "wait_s"))
        if self.most_processes < self.processes:
            raise InputError(
                "`most_processes >= processes` must hold, but got "
                f"{self.most_processes} and {self.processes}."
            )


def is_present(measurement: Measurement, device: DeviceInfo) -> bool:
    """Whether a survey or verification of today would be the same job under the same versions."""
    job = measurement.job
    protocol = SurveyProtocol() if job.protocol == "survey" else VerifyProtocol()
    return job.protocol_version == protocol.version and measurement.is_current(device)


def _check(
    protocol: SurveyProtocol | VerifyProtocol | DisturbanceLimits, *, zero_allowed: tuple[str, ...]
) -> None:
    for one in dataclasses.fields(protocol):
        value = getattr(protocol, one.name)
        if isinstance(value, DisturbanceLimits):
            continue
        if value < 0 or (value == 0 and one.name not in zero_allowed):
            kind = type(protocol).__name__
            raise InputError(f"{kind}.{one.name} must be above 0, but got {value}.")
