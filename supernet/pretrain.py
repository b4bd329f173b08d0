"""Training all sub-networks at once: sampled members, distillation and masked LM.

Each step trains some members on the same batch: by default the largest, the smallest and random
ones (Yu & Huang 2019). Everything random follows from (seed, step), so all processes of a run draw
the same step and take their part of its rows, and a run goes on from its last state to the same
result.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from fleetfit.architecture import Architecture
from fleetfit.errors import InputError, SurroundingsError
from supernet.digests import digest_of_stream, digest_of_tensors
from supernet.model import Supernet
from supernet.network import EncoderNetwork
from supernet.objective import Example, Lesson, Losses, Objective
from supernet.pauses import Pause, no_pause
from supernet.pretrain_config import PretrainConfig
from supernet.pretrain_state import TrainingState
from supernet.processes import Processes, memory_told
from supernet.step_batches import StepBatches
from supernet.teacher import Teacher
from supernet.text import TokenStream
from supernet.training_log import TrainingLog

__all__ = ["Placement", "Pretraining"]


Progress = Callable[[int, int, str], None]

_LESS = "give more micro-batches or fewer tokens a step"


@dataclass(frozen=True, kw_only=True, slots=True)
class Placement:
    """Where and how a run is computed; its results do not depend on it but for rounding."""

    directory: Path
    """Of the run; all processes must see the same one."""
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    processes: Processes = field(default_factory=Processes)
    micro_batches: int = 1
    """Parts of a process's share of a step that are computed one after another, to save memory."""
    compile: bool = False
    """Compile the teacher, the largest and the smallest member, which come again and again."""

    def __post_init__(self) -> None:
        """There is at least one micro-batch."""
        if self.micro_batches < 1:
            raise InputError(f"`micro_batches >= 1` must hold, but got {self.micro_batches}.")

    @property
    def parts(self) -> int:
        """Into how many parts the rows of a step are cut."""
        return self.processes.count * self.micro_batches


class Pretraining:
    """A run; its directory holds ``state.safetensors``, ``loss.csv`` and ``tensorboard/``."""

    def __init__(
        self,
        supernet: Supernet,
        text: tuple[TokenStream, dict[str, int]],
        config: PretrainConfig,
        *,
        placement: Placement,
        teacher: EncoderNetwork | None = None,
    ) -> None:
        """``text``: its tokens, and the ids of [MASK], [PAD] and [UNK].

        ``teacher``: a network of the source's sizes, as when training goes on; a copy of the
        largest member as ``supernet`` is now where not given. A fitted one may have other sizes
        and must be given. ``supernet`` is moved to the device. Raises InputError for a teacher of
        other sizes or another vocabulary, a corpus below one batch, sequences longer than the
        positions of supernet or teacher, and steps with fewer rows than parts.
        """
        self.config, self.placement = config, placement
        frozen = Teacher.of(supernet, teacher, fitted=config.fitted_teacher)
        self.teacher = frozen.network
        self.supernet = supernet
        self._batches = StepBatches(text, config, (supernet.space.source, self.teacher.arch))
        self._batches.check_parts(placement.parts)
        came_from = {
            "text": digest_of_stream(*text),
            "teacher": digest_of_tensors(self.teacher.named_weights()),
            "starting weights": digest_of_tensors(supernet.tensors()),
        }
        placement.processes.check_same(
            "text, teacher, start and settings", (came_from, config), "give all the same command"
        )
        with memory_told(_LESS):
            supernet.to(placement.device)
            frozen.to(placement.device)
            sample = self._batches.sample().to(placement.device)
            self.objective = Objective(supernet, frozen, config.losses, sample=sample)
        if placement.compile:
            self.objective.compile_recurring(self._recurring())
        self._wrapped = placement.processes.wrap(self.objective)
        self.named = supernet.tensors() | frozen.fit
        self.optimizer = torch.optim.AdamW(
            _groups(self.named, config.weight_decay), betas=(0.9, 0.98), fused=True
        )
        self.step = 0
        self._saved: int | None = None
        path = placement.directory / "state.safetensors"
        self._state = TrainingState(path, config, came_from, self.named, self.optimizer)

    def _recurring(self) -> tuple[Architecture, ...]:
        if self.config.sampling.strategy != "sandwich":
            return ()
        return self.supernet.space.largest(), self.supernet.space.smallest()

    def run(
        self,
        *,
        until: int | None = None,
        save_every_s: float = 60.0,
        progress: Progress | None = None,
        pause: Pause = no_pause,
    ) -> None:
        """Train to the end (or to step ``until``), saving state on the way and at the end.

        ``pause`` is called before each step; what it waits counts in no rate.
        """
        end = self.config.steps if until is None else min(self.config.steps, until)
        saved = begun = time.monotonic()
        waited, first, processes = 0.0, self.step, self.placement.processes
        with self._opened_log() as log:
            while self.step < end:
                waited += pause()
                with processes.together(f"at step {self.step}"), memory_told(_LESS):
                    losses = self.take_step()
                if log is None:
                    continue
                took = time.monotonic() - begun - waited
                rate = (self.step - first) * self.config.batch_tokens / took
                self._report(log, losses, rate, progress)
                if time.monotonic() - saved > save_every_s:
                    self.save_state()
                    saved = time.monotonic()
        self.save_state()
        processes.wait()

    @contextlib.contextmanager
    def _opened_log(self) -> Iterator[TrainingLog | None]:
        """The log, for the process that writes it."""
        if not self.placement.processes.first:
            yield None
            return
        with contextlib.closing(TrainingLog(self.placement.directory, step=self.step)) as log:
            yield log

    def _report(
        self,
        log: TrainingLog,
        losses: dict[tuple[str, str], float],
        rate: float,
        progress: Progress | None,
    ) -> None:
        config = self.config
        left = (config.steps - self.step) * config.batch_tokens / rate
        facts = {
            ("step", "learning_rate"): config.rate_at(self.step - 1),
            ("step", "tokens_per_s"): rate,
            ("step", "seconds_left"): left,
        }
        log.write(self.step, losses | facts)
        if progress is not None:
            totals = {n: x for (n, quantity), x in losses.items() if quantity == "loss"}
            shown = " ".join(f"{name} {value:.3f}" for name, value in totals.items())
            progress(self.step, config.steps, f"{shown}, {rate:.0f} tokens/s")

    def take_step(self) -> dict[tuple[str, str], float]:
        """One optimizer step: (member, quantity) to its mean over the step's tokens.

        Raises SurroundingsError where the gradient is not finite; the step is not taken.
        """
        rate = self.config.rate_at(self.step)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.zero_grad(set_to_none=True)
        losses = self._accumulate()
        norm = torch.nn.utils.clip_grad_norm_(list(self.named.values()), self.config.clip)
        if not math.isfinite(float(norm)):
            self._stop(rate, losses)
        self.optimizer.step()
        self.step += 1
        return losses

    def _stop(self, rate: float, losses: dict[tuple[str, str], float]) -> None:
        """Weights are mostly ruined some steps before: the last saved state stays the last."""
        totals = {name: value for (name, quantity), value in losses.items() if quantity == "loss"}
        shown = ", ".join(f"{name} {value:.3g}" for name, value in totals.items())
        setting = "head_learning_rate" if self.step < self.config.head_steps else "learning_rate"
        kept = "no state was saved yet: begin again"
        if self._saved is not None:
            kept = f"the state of step {self._saved} is kept: go on from it"
        if not self.placement.processes.first:
            kept = "rank 0 says which state is kept: go on from it"
        raise SurroundingsError(
            f"Losses and gradients must stay finite, but in step {self.step} at learning rate "
            f"{rate:.2g} one did not ({shown}); {kept} with a lower {setting}."
        )

    def _accumulate(self) -> dict[tuple[str, str], float]:
        """Gradients of one step, and the losses of its members averaged over the whole batch."""
        place = self.placement
        every = self._batches.example(self.step)
        first = place.processes.rank * place.micro_batches
        parts = every.parts(place.parts)[first : first + place.micro_batches]
        sums: dict[tuple[str, str], Tensor] = {}
        for i, part in enumerate(parts):
            on_device = part.to(place.device)
            for key, value in self._learn(on_device, last=i == len(parts) - 1).items():
                sums[key] = sums.get(key, torch.zeros_like(value)) + value / len(parts)
        means = place.processes.mean(torch.stack([x.float() for x in sums.values()]))
        return dict(zip(sums, means.tolist(), strict=True))

    def _learn(self, example: Example, *, last: bool) -> dict[tuple[str, str], Tensor]:
        """Backward passes for one part of a step; after the ``last`` the processes agree."""
        found: dict[tuple[str, str], Tensor] = {}
        if self.step < self.config.head_steps:
            loss, parts, _ = self._backward((None, example, None), share=1.0, last=last)
            for name, parameter in self.named.items():
                if not name.startswith("head."):
                    parameter.grad = None  # the tied embeddings stay the source's in this stage
            return _figures("head", loss, parts)
        config = self.config
        members = config.sampling.members(self.supernet.space, seed=config.seed, step=self.step)
        with self._autocast():
            lesson = self.objective.teach(example.batch)
        shares = config.sampling.shares(members)
        for i, (name, arch) in enumerate(members.items()):
            final = last and i == len(members) - 1
            given = (arch, example, lesson)
            loss, parts, logits = self._backward(given, share=shares[name], last=final)
            found |= _figures(name, loss, parts)
            if name == "largest":
                lesson = self.objective.told(lesson, example, logits)
        return found

    def _backward(
        self,
        given: tuple[Architecture | None, Example, Lesson | None],
        *,
        share: float,
        last: bool,
    ) -> tuple[Tensor, Losses, Tensor | None]:
        """Add ``share`` of a loss's gradients; nothing of what is returned has gradients."""
        wrapped = self._wrapped
        with contextlib.ExitStack() as stack:
            if isinstance(wrapped, DistributedDataParallel) and not last:
                stack.enter_context(wrapped.no_sync())
            with self._autocast():
                loss, parts, logits = wrapped(*given)
            (loss * (share / self.placement.micro_batches)).backward()
        return loss.detach(), parts, None if logits is None else logits.detach()

    def _autocast(self) -> AbstractContextManager[object]:
        device = self.placement.device.type
        return torch.autocast(device, dtype=torch.bfloat16, enabled=self.config.bf16)

    def save_state(self) -> None:
        """Write the state; the first process does, for all."""
        if self.placement.processes.first:
            self._state.save(self.step)
        self._saved = self.step

    def resume(self) -> bool:
        """Go on from the state where there is one; says whether there was.

        Raises InputError for a state of other settings (rates may differ), text, teacher or
        starting weights, for a damaged one, and where the processes see different ones.
        """
        step = self._state.restore(clean=self.placement.processes.first)
        self.placement.processes.check_same(
            "state", step, "the run's directory must be one that all hosts see"
        )
        self._saved, self.step = step, step or 0
        return step is not None


def _figures(name: str, loss: Tensor, parts: Losses) -> dict[tuple[str, str], Tensor]:
    """The total of a member, and the parts of its mix where there are several."""
    found = {(name, "loss"): loss}
    return found | ({(name, part): x for part, x in parts.items()} if len(parts) > 1 else {})


def _groups(named: dict[str, Tensor], decay: float) -> list[dict[str, object]]:
    """Weight decay for matrices, the factors of projections among them; none for vectors."""
    matrices = [p for p in named.values() if p.ndim > 1]
    vectors = [p for p in named.values() if p.ndim <= 1]
    return [
        {"params": matrices, "weight_decay": decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
