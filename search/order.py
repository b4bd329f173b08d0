"""What a bundle is made for."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from fleetfit import Architecture, Budget, Measurement, Target, Workload
from search.cost import Estimate
from search.record import VerifiedRecord
from search.scoring import LabelledFile

__all__ = ["Order"]

DISAGREEMENT: Final = 0.05
"""Readings of one network that differ by more (relative) say that the machine was disturbed."""


@dataclass(frozen=True, kw_only=True)
class Order:
    """What a bundle is made for."""

    target: Target
    workload: Workload
    architecture: Architecture | None = None
    """What was verified: the fine-tuned network must have this body, or a task supernet this
    member.
    """
    budgets: tuple[Budget, ...] = ()
    """Absolute."""
    predicted: dict[str, Estimate] = field(default_factory=dict)
    verified_s: float | None = None
    """Median latency that verification measured of the same network."""
    test: LabelledFile | None = None
    """What to score the exported model on."""
    source_accuracy: float | None = None
    """The task's first metric of the source model on that file, fine-tuned equally."""
    calibration: LabelledFile | None = None
    """Texts from which int8 takes its scales; never those of ``test``."""
    calibration_samples: int = 300
    most_loss: float = 0.01
    """How far the task's first metric may fall from the same network's in fp32."""

    @property
    def fixed(self) -> bool:
        """Whether the network takes the workload's shape alone."""
        return self.target.shapes == "fixed"

    @classmethod
    def of(cls, record: VerifiedRecord) -> Order:
        """The order that a verification implies."""
        return cls(
            target=record.target,
            architecture=record.architecture,
            workload=record.workload,
            budgets=record.absolute_budgets,
            predicted=record.predicted,
            verified_s=record.measurement.latency_p50_s,
        )

    def was_disturbed(self, found: Measurement) -> bool:
        """Whether two readings of one network differ by more than 5 %, either way."""
        if self.verified_s is None:
            return False
        return abs(found.latency_p50_s / self.verified_s - 1) > DISAGREEMENT
