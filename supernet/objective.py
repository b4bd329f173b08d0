"""The loss of one sub-network on one batch: the weighted mix of what it learns from."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import assert_never

import torch
from torch import Tensor, nn

from fleetfit.architecture import Architecture, Head, SelfAttention
from fleetfit.errors import InputError
from supernet.forward import Batch, Encoder, Output, Run, runner
from supernet.losses import (
    Layers,
    LossWeights,
    answer_loss,
    answers_of,
    hidden_loss,
    score_loss,
    variance_of,
)
from supernet.masking import masked_lm_loss
from supernet.model import Supernet
from supernet.teacher import Teacher

__all__ = ["Example", "Lesson", "Objective"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Example:
    """One batch to train on, or a part of one."""

    batch: Batch
    """What the networks see."""
    clean: Tensor
    """Ids before corruption, batch x seq."""
    chosen: Tensor | None = None
    """Positions to predict, bool, batch x seq, never padding; None where nothing is masked."""
    token_weight: float = 1.0
    """A part's share of the tokens of the whole, times the number of parts: means over the parts,
    weighted by it, have the mean over the whole as their mean.
    """
    chosen_weight: float = 1.0
    """The same of the positions to predict."""

    def parts(self, count: int) -> list[Example]:
        """Cut along the rows into ``count`` parts as equal as can be; none may be empty."""
        chunks = torch.arange(len(self.clean)).tensor_split(count)
        return [self._part(chunk, count) for chunk in chunks]

    def _part(self, rows: Tensor, count: int) -> Example:
        batch, chosen = self.batch, self.chosen
        return Example(
            batch=Batch(
                input_ids=batch.input_ids[rows],
                attention_mask=batch.attention_mask[rows],
                token_type_ids=batch.token_type_ids[rows],
                padded=batch.padded,
            ),
            clean=self.clean[rows],
            chosen=None if chosen is None else chosen[rows],
            token_weight=_share(batch.attention_mask, rows) * count,
            chosen_weight=1.0 if chosen is None else _share(chosen, rows) * count,
        )

    def to(self, device: torch.device) -> Example:
        """On another device."""
        return dataclasses.replace(
            self,
            batch=self.batch.to(device),
            clean=self.clean.to(device),
            chosen=None if self.chosen is None else self.chosen.to(device),
        )


def _share(marks: Tensor, rows: Tensor) -> float:
    return float(marks[rows].sum() / marks.sum().clamp(min=1))


@dataclass(frozen=True, kw_only=True, slots=True)
class Lesson:
    """What the members of a step are compared with; no gradients flow to it."""

    frozen: Output | None = None
    """Of the frozen teacher; None where the mix does not look at it."""
    answers: Tensor | None = None
    """What the members after the largest learn at the positions to predict; see ``answers_of``."""


Losses = dict[str, Tensor]
"""The parts of a mix by the names in LossWeights, unweighted, without gradients; ``predicted`` is
masked_lm and in_place together, weighted.
"""


class Objective(nn.Module):
    """Losses of members of ``supernet`` against ``teacher``, mixed by ``weights``."""

    def __init__(
        self, supernet: Supernet, teacher: Teacher, weights: LossWeights, *, sample: Batch
    ) -> None:
        """``sample``: text for which the variance of the teacher's states is taken.

        Raises InputError where scores are compared with a teacher of other heads.
        """
        super().__init__()
        self.supernet, self.teacher, self.weights = supernet, teacher, weights
        self.fit = nn.ParameterList(teacher.fit.values())  # so that it is among the parameters
        ours, theirs = _heads(supernet.space.source), _heads(teacher.network.arch)
        if weights.scores and ours != theirs:
            raise InputError(
                "A teacher of attention scores must have the source's heads in every layer, "
                f"{sorted(ours)}, but has {sorted(theirs)}."
            )
        with torch.no_grad():
            states = teacher(sample).hidden_states[1:]
        self._variances = [variance_of(state, sample.attention_mask) for state in states]
        self._compiled: dict[str, Run] = {}

    def compile_recurring(self, archs: Sequence[Architecture]) -> None:
        """Compile the teacher and these members (torch.compile), for the lengths they meet."""
        self.teacher.run = torch.compile(self.teacher.run)
        self._compiled = {arch.id: torch.compile(runner(arch)) for arch in archs}

    def teach(self, batch: Batch) -> Lesson:
        """The frozen teacher's part of a lesson."""
        if not self.weights.hidden and not self.weights.scores:
            return Lesson()
        with torch.no_grad():
            return Lesson(frozen=self.teacher(batch, scores=self.weights.scores > 0))

    def told(self, lesson: Lesson, example: Example, logits: Tensor | None) -> Lesson:
        """The lesson for the members after the largest, which gave ``logits``."""
        if not self.weights.in_place or example.chosen is None or logits is None:
            return lesson
        weights, targets = self.weights, example.clean[example.chosen]
        answers = answers_of(
            logits.detach(), targets, masked_lm=weights.masked_lm, in_place=weights.in_place
        )
        return dataclasses.replace(lesson, answers=answers)

    def forward(
        self, arch: Architecture | None, example: Example, lesson: Lesson | None
    ) -> tuple[Tensor, Losses, Tensor | None]:
        """The loss of a member, its parts, and its logits at the positions to predict, if any.

        Without an architecture and a lesson: the masked-LM head alone, on the largest member's
        states.
        """
        if arch is None or lesson is None:
            return self._head(example)
        weights = self.weights
        run = self._compiled.get(arch.id) or runner(arch)
        output = run(self.supernet.slice(arch), example.batch, weights.scores > 0)
        losses: Losses = {}
        if lesson.frozen is not None:
            losses |= self._compared_with(lesson.frozen, arch, example, output)
        logits = None
        if example.chosen is not None:
            logits = self.logits(arch, output.hidden, example.chosen)
            losses |= self._predicted(example, lesson, logits)
        mixed = [getattr(weights, name, 1.0) * loss for name, loss in losses.items()]
        return torch.stack(mixed).sum(), {n: x.detach() for n, x in losses.items()}, logits

    def _compared_with(
        self, frozen: Output, arch: Architecture, example: Example, ours: Output
    ) -> Losses:
        share, losses = example.token_weight, {}
        if self.weights.hidden:
            losses["hidden"] = share * self._hidden(arch, example, ours, frozen)
        if self.weights.scores:
            losses["scores"] = share * self._scores(arch, example, ours, frozen)
        return losses

    def _predicted(self, example: Example, lesson: Lesson, logits: Tensor) -> Losses:
        losses: Losses = {}
        assert example.chosen is not None
        if lesson.answers is not None:
            losses["predicted"] = example.chosen_weight * answer_loss(logits, lesson.answers)
        elif self.weights.masked_lm:
            loss = masked_lm_loss(logits, example.clean[example.chosen])
            losses["masked_lm"] = example.chosen_weight * loss
        return losses

    def _head(self, example: Example) -> tuple[Tensor, Losses, Tensor | None]:
        assert example.chosen is not None
        largest = self.supernet.space.largest()
        with torch.no_grad():
            states = self.supernet(example.batch, largest).hidden
        logits = self.logits(largest, states, example.chosen)
        loss = masked_lm_loss(logits, example.clean[example.chosen]) * example.chosen_weight
        return loss, {"masked_lm": loss.detach()}, logits

    def logits(self, arch: Architecture, hidden: Tensor, chosen: Tensor) -> Tensor:
        """Predictions of a member at ``chosen`` (bool, batch x seq), positions x vocab."""
        headed = arch.with_head(Head(kind="masked_lm"))
        encoder = Encoder(arch=headed, weights=self.supernet.slice(headed))
        states = hidden[chosen][None]
        logits = encoder.head(states, states.new_ones(states.shape[:2]))[1]
        assert logits is not None
        return logits[0]

    def _hidden(self, arch: Architecture, example: Example, ours: Output, theirs: Output) -> Tensor:
        """Mean over the compared layers, each state read out at the source's width."""
        losses = []
        for layer, other in self._pairs(arch, self.weights.hidden_layers):
            cut = dataclasses.replace(arch, layers=arch.layers[: layer + 1])
            wide = self.supernet.readout(cut, ours.hidden_states[layer + 1])
            mapped, target = self.teacher.mapped(wide), theirs.hidden_states[other + 1]
            mask, variance = example.batch.attention_mask, self._variances[other]
            losses.append(hidden_loss(mapped, target, mask, variance=variance))
        return torch.stack(losses).mean()

    def _scores(self, arch: Architecture, example: Example, ours: Output, theirs: Output) -> Tensor:
        """Mean over the compared layers that have attention."""
        losses = []
        for layer, other in self._pairs(arch, self.weights.score_layers):
            mine, target = ours.scores[layer], theirs.scores[other]
            if mine is not None and target is not None:
                losses.append(score_loss(mine, target, example.batch.attention_mask))
        return torch.stack(losses).mean() if losses else ours.hidden.new_zeros(())

    def _pairs(self, arch: Architecture, which: Layers) -> list[tuple[int, int]]:
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
