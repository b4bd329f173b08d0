"""How a survey goes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from fleetfit import InputError
from profiler.protocol import SurveyProtocol

__all__ = ["Progress", "SurveySettings"]

Progress = Callable[[int, int, str], None]
"""Called with (visits done, visits planned, what comes next)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SurveySettings:
    """How a survey goes."""

    protocol: SurveyProtocol = field(default_factory=SurveyProtocol)
    seed: int = 0
    """Of weights and inputs."""
    order_seed: int | None = None
    """Of the order of visits; None: another one every time."""
    memory_every: int = 0
    """Every k-th network and the largest and smallest get a memory child; 0: none."""
    lock_wait_s: float = 60.0
    """How long another measurement on this machine is waited for."""

    def __post_init__(self) -> None:
        """Counts and times are not negative."""
        if self.memory_every < 0 or self.lock_wait_s < 0:
            raise InputError(
                "`memory_every >= 0` and `lock_wait_s >= 0` must hold, but got "
                f"{self.memory_every} and {self.lock_wait_s}."
            )
