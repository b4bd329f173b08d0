"""What a sub-network may learn from, each loss a small function, and their weights in the mix.

None of them looks at padding: what stands there changes no loss.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from fleetfit.codec import check_literals
from fleetfit.errors import InputError

__all__ = [
    "Layers",
    "LossWeights",
    "answer_loss",
    "answers_of",
    "hidden_loss",
    "score_loss",
    "variance_of",
]

Layers = Literal["last", "all"]
"""Which layers are compared with the teacher's: the last with its last, or besides this one every
layer with the teacher's at the same place in the source (``Teacher.layer_of``).
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class LossWeights:
    """The mix: what each loss of a member counts; 0 leaves it out."""

    hidden: float = 1.0
    """Distance to the frozen teacher's hidden states."""
    hidden_layers: Layers = "last"
    scores: float = 0.0
    """Distance to the frozen teacher's attention scores."""
    score_layers: Layers = "last"
    masked_lm: float = 0.0
    """Cross-entropy of the masked tokens; above 0 the inputs are corrupted."""
    in_place: float = 0.0
    """Soft cross-entropy to the largest member's predictions of the masked tokens; above 0 the
    inputs are corrupted.
    """

    def __post_init__(self) -> None:
        """Weights are at least 0, and the largest member has a loss too."""
        check_literals(self)
        own = (self.hidden, self.scores, self.masked_lm)
        if not all(0 <= weight < math.inf for weight in (*own, self.in_place)) or not sum(own):
            raise InputError(
                "Loss weights must be >= 0 and finite and one beside in_place above 0, but got "
                f"hidden {self.hidden}, scores {self.scores}, masked_lm {self.masked_lm}, "
                f"in_place {self.in_place}."
            )

    @property
    def needs_masking(self) -> bool:
        """Whether there are tokens to predict."""
        return self.masked_lm > 0 or self.in_place > 0


def hidden_loss(ours: Tensor, teachers: Tensor, mask: Tensor, *, variance: float) -> Tensor:
    """Squared distance over the variance of the teacher's states; 0 equal, 1 no better than a mean.

    TinyBERT (Jiao et al. 2020, section 3.1, hidden states) takes the mean squared error; over the
    variance it does not depend on the teacher's scale. Both batch x seq x width; ``mask`` batch x
    seq, 1 for tokens. ``variance``: see ``variance_of``; given, so that the mean over the parts of
    a batch is the loss of the batch.
    """
    kept = mask.bool()
    return F.mse_loss(ours[kept].float(), teachers[kept].float()) / variance


def variance_of(states: Tensor, mask: Tensor) -> float:
    """Mean squared distance of states (batch x seq x width) to their mean; padding left out."""
    kept = states[mask.bool()].float()
    return float((kept - kept.mean(dim=0)).square().mean())


def score_loss(ours: Tensor, teachers: Tensor, mask: Tensor) -> Tensor:
    """Mean squared error of attention scores before the softmax, over pairs of real tokens.

    TinyBERT (Jiao et al. 2020, section 3.1, attention); of the last layer in AutoTinyBERT (Yin et
    al. 2021). Ours batch x heads x seq x seq; the teacher's may have more heads: a member that has
    dropped heads kept the first, and head k is compared with head k. ``mask`` batch x seq, 1 for
    tokens.
    """
    kept = mask.bool()
    pairs = kept[:, None, :, None] & kept[:, None, None, :]
    error = (ours.float() - teachers[:, : ours.shape[1]].float()).square()
    return error.masked_fill(~pairs, 0.0).sum() / (pairs.sum() * ours.shape[1])


def answers_of(largest: Tensor, targets: Tensor, *, masked_lm: float, in_place: float) -> Tensor:
    """What the other members of a step learn at the positions to predict, positions x vocab.

    ``masked_lm`` times the token, one-hot, plus ``in_place`` times what the largest member predicts
    (Yu & Huang 2019, in-place distillation). ``largest``: its logits, positions x vocab.
    """
    answers = largest.float().softmax(dim=-1).mul_(in_place)
    answers[torch.arange(len(targets), device=targets.device), targets] += masked_lm
    return answers


def answer_loss(logits: Tensor, answers: Tensor) -> Tensor:
    """Mean of -sum_v a(v) log q(v) in nats, q of ``logits``; 0 of no positions.

    With ``answers_of`` it is the weighted sum of the masked-LM loss and of the soft cross-entropy
    to the largest member, in one pass over the vocabulary instead of three.
    """
    if not len(logits):
        return logits.float().sum()
    return F.cross_entropy(logits.float(), answers)
