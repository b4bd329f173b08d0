"""Fine-tuning of a whole supernet: its members learn one labelled task all at once.

Each step trains the largest member, the smallest and random ones on the same texts (sandwich rule,
Yu & Huang 2019, section 3.1). The largest learns from the labels; the others from the labels and
from what the largest predicts meanwhile (in-place distillation, section 3.2 there). A fine-tuned
network may teach in its stead: then the largest learns from it too.
"""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fleetfit.architecture import Architecture, Head
from fleetfit.errors import InputError
from supernet.epochs import Best, batches_of, check_finite, rise_and_fall
from supernet.finetune import FinetuneConfig, Lesson
from supernet.forward import Encoder, Output
from supernet.model import Supernet
from supernet.named_members import named_members
from supernet.pauses import Pause, no_pause
from supernet.sampling import Sampling
from supernet.spaces import SearchSpace
from supernet.tasks import Encoded, Logits, Task, score_network, stacked
from supernet.vocabulary import narrowed, placed, put_back, used_ids

__all__ = [
    "SupernetTuning",
    "TunedSupernet",
    "finetune_supernet",
    "score_members",
    "watched_members",
]

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class SupernetTuning:
    """One fine-tuning of all members."""

    base: FinetuneConfig
    """What the fine-tuning of one network is told too."""
    random_members: int = 1
    """In each step beside the largest and the smallest."""
    hard: float = 0.5
    """Weight of the labels in the loss of a member that learns from the largest too."""
    soft: float = 0.5
    """Weight of the largest's predictions in it."""

    def __post_init__(self) -> None:
        """Weights are at least 0 and one is more; random members are counted."""
        weights = (self.hard, self.soft)
        if not all(0 <= weight < math.inf for weight in weights) or not sum(weights):
            raise InputError(
                "Weights of labels and soft labels must be >= 0 and finite and one above 0, but "
                f"got {self.hard} and {self.soft}."
            )
        if self.random_members < 0:
            raise InputError(f"Random members must be >= 0, but got {self.random_members}.")


@dataclass(frozen=True, kw_only=True, slots=True)
class TunedSupernet:
    """The best epoch by the mean dev score of the watched members."""

    supernet: Supernet
    """With the task's head."""
    dev_score: float
    """That mean, of the task's first metric."""
    epochs: int
    """Epochs run, the last ones possibly in vain."""


def watched_members(space: SearchSpace) -> dict[str, Architecture]:
    """Whose mean dev score decides which epoch is best: the largest, the middle, the smallest."""
    named = named_members(space)
    return {name: named[name] for name in ("largest", "middle", "smallest") if name in named}


def finetune_supernet(
    supernet: Supernet,
    lesson: Lesson,
    *,
    config: SupernetTuning,
    progress: Progress | None = None,
    pause: Pause = no_pause,
) -> TunedSupernet:
    """Train a copy of ``supernet``, which carries the task's head, and take its best epoch.

    With a teacher the loss of every member is as in ``finetune``. Word embeddings of tokens that
    do not occur stay as they are. Raises InputError for a supernet (or teacher) with another head
    than the task's and for texts that do not fit, SurroundingsError for a loss that is not finite;
    ``supernet`` never changes. ``pause`` is called before each step.
    """
    base = config.base
    lesson.check(supernet.space.source.with_head(supernet.task or Head()))
    soft = lesson.answers(base)
    made = copy.deepcopy(supernet)
    used = used_ids(lesson.train, lesson.dev)
    run = _Run(
        supernet=narrowed(made, used).to(base.device),
        lesson=dataclasses.replace(
            lesson, train=placed(lesson.train, used), dev=placed(lesson.dev, used)
        ),
        config=config,
        soft=soft,
        pause=pause,
    )
    with torch.random.fork_rng(devices=[d for d in [base.device] if d.type == "cuda"]):
        torch.manual_seed(base.seed)  # for dropout, which has no generator of its own
        reached, epochs = run(progress or (lambda done, total, note: None))
    put_back(run.supernet.cpu(), made, used)
    return TunedSupernet(supernet=made, dev_score=reached, epochs=epochs)


def score_members(
    supernet: Supernet,
    members: Mapping[str, Architecture],
    task: Task[Any],
    encoded: Encoded,
    *,
    config: FinetuneConfig | None = None,
) -> dict[str, dict[str, float]]:
    """Every metric of ``members``, slices of a task supernet, over ``encoded``, by their names.

    ``config`` says where and whether in bf16; in fp32 on the CPU where not given.
    """
    run = config or FinetuneConfig(bf16=False)
    scores = {}
    for name, arch in members.items():
        with torch.no_grad():
            network = _headed(supernet, arch)
        scores[name] = score_network(
            network, task, encoded, precision=run.precision, device=run.device
        )
    return scores


def _headed(supernet: Supernet, arch: Architecture, *, dropout: float = 0.0) -> Encoder:
    assert supernet.task is not None
    headed = arch.with_head(supernet.task)
    return Encoder(arch=headed, weights=supernet.slice(headed), dropout=dropout)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Run:
    """A training in place."""

    supernet: Supernet
    lesson: Lesson
    config: SupernetTuning
    soft: list[Logits] | None
    """The teacher's logits of each text to learn from."""
    pause: Pause = no_pause

    def __call__(self, progress: Progress) -> tuple[float, int]:
        """Leave the supernet at its best epoch; its score and the epochs run."""
        base = self.config.base
        rng = np.random.default_rng(base.seed)
        lengths = self.lesson.train.lengths
        total = math.ceil(len(lengths) / base.batch_size) * base.epochs
        parameters = list(self.supernet.parameters())
        optimizer = torch.optim.AdamW(
            parameters, lr=base.learning_rate, weight_decay=base.weight_decay, fused=True
        )
        shape = rise_and_fall(base.warmup, total)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, shape)
        best = Best(kept=self._weights())
        step = epoch = 0
        while epoch < base.epochs and best.since < base.patience:
            for chosen in batches_of(lengths, base.batch_size, rng):
                self.pause()
                optimizer.zero_grad(set_to_none=True)
                self._learn(chosen, step)
                norm = torch.nn.utils.clip_grad_norm_(parameters, 1.0)
                check_finite(float(norm), step=step, rate=float(schedule.get_last_lr()[0]))
                optimizer.step()
                schedule.step()
                step += 1
                if step % 10 == 0:
                    progress(step, total, f"epoch {epoch + 1}, {best}")
            epoch += 1
            if best.improves(self._dev_score()):
                best.kept = self._weights()
        self.supernet.load_state_dict(best.kept)
        progress(total, total, f"{epoch} epochs, {best}")
        return best.score, epoch

    def _learn(self, chosen: Sequence[int], step: int) -> None:
        """Add the gradients of the step's members, each with an equal share."""
        base, space = self.config.base, self.supernet.space
        sampling = Sampling(random_members=self.config.random_members)
        members = sampling.members(space, seed=base.seed, step=step)
        batch = self.lesson.train.batch(chosen).to(base.device)
        told = None if self.soft is None else stacked(self.soft, chosen)
        for arch in members.values():  # the largest comes first
            with self._autocast():
                output = _headed(self.supernet, arch, dropout=base.dropout)(batch)
            loss = self._loss(output, told, chosen) / len(members)
            loss.backward()  # type: ignore[no-untyped-call]
            told = told or _frozen(output)

    def _loss(self, output: Output, told: Output | None, chosen: Sequence[int]) -> Tensor:
        task, train, teacher = self.lesson.task, self.lesson.train, self.lesson.teacher
        loss = task.loss(output, train, chosen)
        if told is None:
            return loss
        soft = task.soft_loss(output, told, train, chosen)
        if teacher is not None:
            return loss + teacher.weight * soft
        return self.config.hard * loss + self.config.soft * soft

    def _dev_score(self) -> float:
        watched, task = watched_members(self.supernet.space), self.lesson.task
        base, dev = self.config.base, self.lesson.dev
        scores = score_members(self.supernet, watched, task, dev, config=base)
        headline = task.metrics[0]
        return float(np.mean([found[headline] for found in scores.values()]))

    def _weights(self) -> dict[str, Tensor]:
        return {name: value.clone() for name, value in self.supernet.state_dict().items()}

    def _autocast(self) -> torch.autocast:
        base = self.config.base
        return torch.autocast(base.device.type, dtype=torch.bfloat16, enabled=base.bf16)


def _frozen(output: Output) -> Output:
    """The logits alone, without gradients."""
    assert output.logits is not None
    return Output(hidden_states=(), pooled=None, logits=output.logits.detach())
