"""The loss of one sub-network on one batch: the weighted mix of what it learns from."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import assert_never

import torch
from torch import Tensor

from fleetfit.architecture import Architecture, Head, SelfAttention
from fleetfit.errors import InputError
from supernet.forward import Batch, Encoder, Output
from supernet.losses import Layers, LossWeights, hidden_loss, in_place_loss, score_loss
from supernet.masking import masked_lm_loss
from supernet.model import Supernet
from supernet.teacher import Teacher

__all__ = ["Example", "Lesson", "Objective"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Example:
    """One batch to train on."""

    batch: Batch
    """What the networks see."""
    clean: Tensor
    """Ids before corruption, batch x seq."""
    chosen: Tensor | None = None
    """Positions to predict, bool, batch x seq, never padding; None where nothing is masked."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Lesson:
    """What the members of a step are compared with; no gradients flow to it."""

    frozen: Output
    """Of the frozen teacher."""
    logits: Tensor | None = None
    """Of the largest member at the positions to predict, positions x vocab, once it has run."""


class Objective:
    """Losses of members of ``supernet`` against ``teacher``, mixed by ``weights``."""

    def __init__(self, supernet: Supernet, teacher: Teacher, weights: LossWeights) -> None:
        """Raises InputError where scores are compared with a teacher of other heads."""
        self.supernet, self.teacher, self.weights = supernet, teacher, weights
        ours, theirs = _heads(supernet.space.source), _heads(teacher.network.arch)
        if weights.scores and ours != theirs:
            raise InputError(
                "A teacher of attention scores must have the source's heads in every layer, "
                f"{sorted(ours)}, but has {sorted(theirs)}."
            )

    def teach(self, batch: Batch) -> Lesson:
        """The frozen teacher's part of a lesson."""
        with torch.no_grad():
            return Lesson(frozen=self.teacher(batch, scores=self.weights.scores > 0))

    def source_states(self, batch: Batch) -> Tensor:
        """Last hidden states of the source, batch x seq x width, before its body has trained."""
        with torch.no_grad():
            if self.teacher.fit:  # the teacher is another model
                output: Output = self.supernet(batch, self.supernet.space.largest())
                return output.hidden
            return self.teacher(batch).hidden

    def __call__(
        self, arch: Architecture, example: Example, lesson: Lesson
    ) -> tuple[Tensor, Tensor | None]:
        """The loss of a member, and its logits at the positions to predict, if there are any."""
        weights = self.weights
        output: Output = self.supernet(example.batch, arch, scores=weights.scores > 0)
        loss = torch.zeros(())
        if weights.hidden:
            loss = loss + weights.hidden * self._hidden(arch, example, output, lesson.frozen)
        if weights.scores:
            loss = loss + weights.scores * self._scores(arch, example, output, lesson.frozen)
        if example.chosen is None:
            return loss, None
        logits = self.logits(arch, output.hidden, example.chosen)
        if weights.masked_lm:
            targets = example.clean[example.chosen]
            loss = loss + weights.masked_lm * masked_lm_loss(logits, targets)
        if weights.in_place and lesson.logits is not None:
            loss = loss + weights.in_place * in_place_loss(logits, lesson.logits)
        return loss, logits

    def logits(self, arch: Architecture, hidden: Tensor, chosen: Tensor) -> Tensor:
        """Predictions of a member at ``chosen`` (bool, batch x seq), positions x vocab."""
        headed = arch.with_head(Head(kind="masked_lm"))
        encoder = Encoder(arch=headed, weights=self.supernet.slice(headed))
        logits = encoder.head(hidden[chosen][None], torch.ones(1, int(chosen.sum())))[1]
        assert logits is not None
        return logits[0]

    def _hidden(self, arch: Architecture, example: Example, ours: Output, theirs: Output) -> Tensor:
        """Mean over the compared layers, each state read out at the source's width."""
        losses = []
        for layer, other in self._compared(arch, self.weights.hidden_layers):
            cut = dataclasses.replace(arch, layers=arch.layers[: layer + 1])
            wide = self.supernet.readout(cut, ours.hidden_states[layer + 1])
            mapped, target = self.teacher.mapped(wide), theirs.hidden_states[other + 1]
            losses.append(hidden_loss(mapped, target, example.batch.attention_mask))
        return torch.stack(losses).mean()

    def _scores(self, arch: Architecture, example: Example, ours: Output, theirs: Output) -> Tensor:
        """Mean over the compared layers that have attention."""
        losses = []
        for layer, other in self._compared(arch, self.weights.score_layers):
            mine, target = ours.scores[layer], theirs.scores[other]
            if mine is not None and target is not None:
                losses.append(score_loss(mine, target, example.batch.attention_mask))
        return torch.stack(losses).mean() if losses else torch.zeros(())

    def _compared(self, arch: Architecture, which: Layers) -> list[tuple[int, int]]:
        """Pairs of a member's layer and the teacher's."""
        last = (len(arch.layers) - 1, self.teacher.depth - 1)
        match which:
            case "last":
                return [last]
            case "all":
                inner = enumerate(arch.layers[:-1])
                return [*((i, self.teacher.layer_of(y.source)) for i, y in inner), last]
            case _:
                assert_never(which)


def _heads(arch: Architecture) -> set[int]:
    """The numbers of heads that occur."""
    subs = (sub for layer in arch.layers for sub in layer.sublayers)
    return {sub.heads for sub in subs if isinstance(sub, SelfAttention)}
