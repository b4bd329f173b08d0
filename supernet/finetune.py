"""Fine-tuning of one extracted network on a task, by itself or with a teacher."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from fleetfit.architecture import Architecture, Head
from fleetfit.errors import InputError
from fleetfit.query import Precision
from fleetfit.weights import Weights, weight_shapes
from supernet.epochs import Best, batches_of, check_finite, rise_and_fall
from supernet.network import EncoderNetwork
from supernet.pauses import Pause, no_pause
from supernet.tasks import Encoded, Logits, Run, Task, logits_of, runner, score_network, stacked
from supernet.vocabulary import placed, used_ids

__all__ = ["FinetuneConfig", "FinetuneResult", "Lesson", "Teacher", "finetune", "with_task_head"]

Array = npt.NDArray[np.float32]
Progress = Callable[[int, int, str], None]

_TOKENS = "embedding.tokens"


@dataclass(frozen=True, kw_only=True, slots=True)
class FinetuneConfig:
    """One fine-tuning."""

    epochs: int = 6
    batch_size: int = 32
    learning_rate: float = 4e-4
    warmup: float = 0.1
    """Share of the steps with a rising rate; after it the rate falls linearly to 0."""
    weight_decay: float = 0.01
    dropout: float = 0.1
    patience: int = 2
    """Stop after this many epochs without a better dev score."""
    bf16: bool = True
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    """Where it is computed."""
    seed: int = 0

    @property
    def precision(self) -> Precision:
        """What ``bf16`` says, in the words of targets."""
        return "bf16" if self.bf16 else "fp32"

    def __post_init__(self) -> None:
        """Counts and rates are positive."""
        for name in ("epochs", "batch_size", "patience"):
            if getattr(self, name) < 1:
                raise InputError(f"`{name} >= 1` must hold, but got {getattr(self, name)}.")
        if not 0 < self.learning_rate < math.inf:
            raise InputError(
                f"`learning_rate > 0` must hold, and finite, but got {self.learning_rate}."
            )
        if not 0 <= self.dropout < 1:
            raise InputError(f"`0 <= dropout < 1` must hold, but got {self.dropout}.")


@dataclass(frozen=True, kw_only=True, slots=True)
class FinetuneResult:
    """The best network by the task's first metric on the dev part."""

    network: EncoderNetwork
    dev: dict[str, float]
    """Every metric of the task."""
    epochs: int
    """Epochs run, the last ones possibly in vain."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Teacher:
    """A network that knows the task, and how much its answers weigh beside the labels."""

    network: EncoderNetwork
    weight: float = 1.0

    def __post_init__(self) -> None:
        """The weight is positive."""
        if not 0 < self.weight < math.inf:
            raise InputError(f"A teacher's weight must be positive and finite, got {self.weight}.")


@dataclass(frozen=True, kw_only=True, slots=True)
class Lesson:
    """A task with its examples and, where there is one, its teacher."""

    task: Task[Any]
    train: Encoded
    dev: Encoded
    """What decides which epoch is best."""
    teacher: Teacher | None = None

    def __post_init__(self) -> None:
        """Both parts hold examples."""
        if not len(self.train) or not len(self.dev):
            raise InputError(
                "A training part and a dev part must hold examples, but they have "
                f"{len(self.train)} and {len(self.dev)}; give more of them."
            )

    def check(self, arch: Architecture) -> None:
        """Raise InputError where ``arch`` or the teacher does not fit the task and its texts."""
        _check_head(arch, self.task, "A network")
        for encoded in (self.train, self.dev):
            encoded.check(arch)
        if self.teacher is not None:
            taught = self.teacher.network.arch
            _check_head(taught, self.task, "A teacher")
            self.train.check(taught)

    def answers(self, config: FinetuneConfig) -> list[Logits] | None:
        """The teacher's logits of each text to learn from; None without a teacher."""
        if self.teacher is None:
            return None
        run = runner(self.teacher.network.eval().to(config.device))
        return logits_of(run, self.train, precision=config.precision, device=config.device)


def with_task_head(
    arch: Architecture, weights: Weights, head: Head, *, seed: int = 0
) -> tuple[Architecture, dict[str, Array]]:
    """A body under a fresh head with outputs: weights from N(0, 0.02), biases 0."""
    headed = arch.with_head(head)
    shapes = weight_shapes(headed)
    rng = np.random.default_rng(seed)
    named = {name: np.asarray(weights[name]) for name in shapes if name in weights}
    named["head.output.weight"] = rng.normal(0, 0.02, shapes["head.output.weight"]).astype(
        np.float32
    )
    named["head.output.bias"] = np.zeros(head.outputs, dtype=np.float32)
    return headed, named


def finetune(
    network: EncoderNetwork,
    lesson: Lesson,
    *,
    config: FinetuneConfig,
    progress: Progress | None = None,
    pause: Pause = no_pause,
) -> FinetuneResult:
    """Train ``network`` in place on the lesson and leave it at its best epoch by the dev part.

    With a teacher the loss is the task's plus ``weight`` times its ``soft_loss``. Word embeddings
    of tokens in neither part stay as they are. Raises InputError for a network (or teacher) with
    another head than the task's and SurroundingsError for a loss that is not finite; the network
    is then as it was. ``pause`` is called before each step.
    """
    lesson.check(network.arch)
    teacher, soft = lesson.teacher, lesson.answers(config)
    used = used_ids(lesson.train, lesson.dev)
    training = _Training(
        task=lesson.task,
        train=placed(lesson.train, used),
        dev=placed(lesson.dev, used),
        config=config,
        soft=soft,
        soft_weight=teacher.weight if teacher is not None else 0.0,
        progress=progress or (lambda done, total, note: None),
        pause=pause,
    )
    narrow = _narrowed(network, used)
    narrow.dropout = config.dropout
    with torch.random.fork_rng(devices=[d for d in [config.device] if d.type == "cuda"]):
        torch.manual_seed(config.seed)  # for dropout, which has no generator of its own
        result, weights = training.run(narrow)
    with torch.no_grad():
        for name, parameter in network.named_weights().items():
            rows = torch.tensor(used) if name == _TOKENS else slice(None)
            parameter[rows] = torch.from_numpy(weights[name])
    return dataclasses.replace(result, network=network.eval())


def _check_head(arch: Architecture, task: Task[Any], what: str) -> None:
    head = arch.head
    wanted = task.head(head.pooling or "mean")
    if head != wanted:
        raise InputError(
            f"{what} must have a {wanted.kind} head with {wanted.outputs} outputs for this task, "
            f"but has {head.kind!r} with {head.outputs}."
        )


def _narrowed(network: EncoderNetwork, used: Sequence[int]) -> EncoderNetwork:
    """A copy that knows the tokens ``used`` only, numbered from 0 in their order."""
    weights = network.weights()
    weights[_TOKENS] = weights[_TOKENS][used]
    embedding = dataclasses.replace(network.arch.embedding, vocab_size=len(used))
    return EncoderNetwork.of(dataclasses.replace(network.arch, embedding=embedding), weights)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Training:
    """Everything but the network."""

    task: Task[Any]
    train: Encoded
    dev: Encoded
    config: FinetuneConfig
    soft: list[Logits] | None
    """The teacher's logits of each row of ``train``."""
    soft_weight: float
    progress: Progress
    pause: Pause

    def run(self, network: EncoderNetwork) -> tuple[FinetuneResult, dict[str, Array]]:
        """The result and the weights of the best epoch."""
        config, run = self.config, runner(network.to(self.config.device))
        rng = np.random.default_rng(config.seed)
        total = math.ceil(len(self.train) / config.batch_size) * config.epochs
        optimizer = torch.optim.AdamW(
            network.parameters(),
            lr=config.learning_rate,
            weight_decay=config.weight_decay,
            fused=True,
        )
        shape = rise_and_fall(config.warmup, total)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, shape)
        best = Best(kept=(network.weights(), dict[str, float]()))
        epoch, done = 0, 0
        while epoch < config.epochs and best.since < config.patience:
            network.train()
            for chosen in batches_of(self.train.lengths, config.batch_size, rng):
                self.pause()
                optimizer.zero_grad(set_to_none=True)
                self._loss(run, chosen).backward()  # type: ignore[no-untyped-call]
                norm = torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
                check_finite(float(norm), step=done, rate=float(schedule.get_last_lr()[0]))
                optimizer.step()
                schedule.step()
                done += 1
                if done % 10 == 0:
                    self.progress(done, total, f"epoch {epoch + 1}, {best}")
            epoch += 1
            scores = _scores(network.eval(), self.task, self.dev, config)
            if best.improves(scores[self.task.metrics[0]]):
                best.kept = (network.weights(), scores)
        self.progress(total, total, f"{epoch} epochs, {best}")
        weights, dev = best.kept
        return FinetuneResult(network=network, dev=dev, epochs=epoch), weights

    def _loss(self, run: Run, chosen: Sequence[int]) -> Tensor:
        device = self.config.device
        with torch.autocast(device.type, torch.bfloat16, self.config.bf16):
            output = run(self.train.batch(chosen).to(device))
        loss = self.task.loss(output, self.train, chosen)
        if self.soft is None:
            return loss
        told = stacked(self.soft, chosen)
        return loss + self.soft_weight * self.task.soft_loss(output, told, self.train, chosen)


def _scores(
    network: EncoderNetwork, task: Task[Any], dev: Encoded, config: FinetuneConfig
) -> dict[str, float]:
    return score_network(
        runner(network), task, dev, precision=config.precision, device=config.device
    )
