"""The settings of a training run."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from fleetfit.errors import InputError
from supernet.losses import LossWeights
from supernet.sampling import Sampling

__all__ = ["PretrainConfig"]


@dataclass(frozen=True, kw_only=True, slots=True)
class PretrainConfig:
    """One training run."""

    tokens: int
    """Tokens of the main stage; each is seen by every sub-network of its step."""
    head_tokens: int = 0
    """Tokens of the first stage: the masked-LM head alone on the frozen source."""
    batch_tokens: int = 4096
    seq_lens: tuple[int, ...] = (128, 64, 32)
    """One of them is drawn for each step; short ones are what sentence tasks look like."""
    learning_rate: float = 5e-4
    head_learning_rate: float = 1e-3
    warmup: float = 0.05
    """Share of each stage with a rising rate; after it the rate falls linearly to 2 %."""
    weight_decay: float = 0.01
    clip: float = 1.0
    """Largest norm of the gradient."""
    sampling: Sampling = field(default_factory=Sampling)
    """Which sub-networks a step of the main stage trains."""
    losses: LossWeights = field(default_factory=LossWeights)
    """What they learn from."""
    fitted_teacher: bool = False
    """The teacher is another model of the same vocabulary, compared through a learned map."""
    bf16: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        """Counts and rates are positive, and what is distilled from is trained."""
        for name in ("tokens", "batch_tokens", "learning_rate", "head_learning_rate"):
            value = getattr(self, name)
            if not 0 < value < math.inf:
                raise InputError(f"`{name} > 0` must hold, and finite, but got {value}.")
        if self.head_tokens < 0:
            raise InputError(f"`head_tokens >= 0` must hold, but got {self.head_tokens}.")
        if not (0 < self.clip < math.inf and 0 <= self.weight_decay < math.inf):
            raise InputError(
                "`clip > 0` and `weight_decay >= 0` must hold, both finite, but got "
                f"{self.clip} and {self.weight_decay}."
            )
        if not 0 <= self.warmup < 1:
            raise InputError(f"The warmup must be a share below 1, but got {self.warmup}.")
        if not self.seq_lens or min(self.seq_lens) < 3 or self.batch_tokens < max(self.seq_lens):
            raise InputError(
                "Sequences must have at least 3 tokens and fit into the tokens of a step, but got "
                f"seq_lens {_listed(self.seq_lens)} and batch_tokens {self.batch_tokens}; change "
                "one of them."
            )
        if self.seed < 0:
            raise InputError(f"The seed must be >= 0, but got {self.seed}.")
        if self.losses.in_place and not self.sampling.always_largest:
            raise InputError(
                "In-place distillation must have the largest member in every step, but the "
                f"strategy is {self.sampling.strategy}, ends_every {self.sampling.ends_every}; "
                "take a sandwich with its ends in every step or in_place 0."
            )

    @property
    def head_steps(self) -> int:
        """Steps of the first stage."""
        return math.ceil(self.head_tokens / self.batch_tokens)

    @property
    def steps(self) -> int:
        """Steps of both stages."""
        return self.head_steps + math.ceil(self.tokens / self.batch_tokens)

    def rate_at(self, step: int) -> float:
        """The learning rate of a step: each stage rises and falls on its own."""
        in_head = step < self.head_steps
        begin, end = (0, self.head_steps) if in_head else (self.head_steps, self.steps)
        done = (step - begin + 1) / max(1, end - begin)
        peak = self.head_learning_rate if in_head else self.learning_rate
        if done < self.warmup:
            return peak * done / self.warmup
        return peak * max(0.02, (1 - done) / max(1e-9, 1 - self.warmup))


def _listed(lengths: tuple[int, ...]) -> str:
    return ",".join(map(str, lengths)) or "none"
