"""Fine-tuning of one extracted network on a task, by itself or with a teacher."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from fleetfit.architecture import Architecture, Head
from fleetfit.errors import InputError, SurroundingsError
from fleetfit.weights import Weights, weight_shapes
from supernet.network import EncoderNetwork
from supernet.tasks import Encoded, Logits, Run, Task, logits_of, runner, score_network, stacked

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
    seed: int = 0

    def __post_init__(self) -> None:
        """Counts and rates are positive."""
        if min(self.epochs, self.batch_size, self.patience) < 1:
            raise InputError("Epochs, batch size and patience must be >= 1.")
        if not 0 < self.learning_rate < math.inf or not 0 <= self.dropout < 1:
            raise InputError("`learning_rate > 0` (finite) and `0 <= dropout < 1` must hold.")


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
            raise InputError("A training part and a dev part must hold examples, but one is empty.")

    def check(self, network: EncoderNetwork) -> None:
        """Raise InputError where ``network`` or the teacher does not fit the task and its texts."""
        _check_head(network, self.task, "A network")
        for encoded in (self.train, self.dev):
            encoded.check(network.arch)
        if self.teacher is not None:
            _check_head(self.teacher.network, self.task, "A teacher")
            self.train.check(self.teacher.network.arch)


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
) -> FinetuneResult:
    """Train ``network`` in place on the lesson and leave it at its best epoch by the dev part.

    With a teacher the loss is the task's plus ``weight`` times its ``soft_loss``. Word embeddings
    of tokens in neither part stay as they are. Raises InputError for a network (or teacher) with
    another head than the task's and SurroundingsError for a loss that is not finite; the network
    is then as it was.
    """
    lesson.check(network)
    teacher, soft = lesson.teacher, None
    if teacher is not None:
        soft = logits_of(runner(teacher.network.eval()), lesson.train, bf16=config.bf16)
    # A task has a few thousand tokens. AdamW, clipping and zeroing over all 30,522 took a quarter
    # of the steps of a network of 3 layers, 384 wide.
    used = _used_ids(lesson)
    training = _Training(
        task=lesson.task,
        train=_placed(lesson.train, used),
        dev=_placed(lesson.dev, used),
        config=config,
        soft=soft,
        soft_weight=teacher.weight if teacher is not None else 0.0,
        progress=progress or (lambda done, total, note: None),
    )
    narrow = _narrowed(network, used)
    narrow.dropout = config.dropout
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)  # for dropout, which has no generator of its own
        result, weights = training.run(narrow)
    with torch.no_grad():
        for name, parameter in network.named_weights().items():
            rows = torch.tensor(used) if name == _TOKENS else slice(None)
            parameter[rows] = torch.from_numpy(weights[name])
    return dataclasses.replace(result, network=network.eval())


def _check_head(network: EncoderNetwork, task: Task[Any], what: str) -> None:
    head = network.arch.head
    wanted = task.head(head.pooling or "mean")
    if head != wanted:
        raise InputError(
            f"{what} must have a {wanted.kind} head with {wanted.outputs} outputs for this task, "
            f"but has {head.kind!r} with {head.outputs}."
        )


def _used_ids(lesson: Lesson) -> list[int]:
    return sorted({0}.union(*lesson.train.ids, *lesson.dev.ids))  # 0 is padding


def _placed(encoded: Encoded, used: Sequence[int]) -> Encoded:
    """With the place in ``used`` instead of each id."""
    place = {token: i for i, token in enumerate(used)}
    return dataclasses.replace(encoded, ids=[[place[t] for t in row] for row in encoded.ids])


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

    def run(self, network: EncoderNetwork) -> tuple[FinetuneResult, dict[str, Array]]:
        """The result and the weights of the best epoch."""
        config, run = self.config, runner(network)
        rng = np.random.default_rng(config.seed)
        total = math.ceil(len(self.train) / config.batch_size) * config.epochs
        optimizer = torch.optim.AdamW(
            network.parameters(),
            lr=config.learning_rate,
            weight_decay=config.weight_decay,
            fused=True,
        )
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, _schedule(config.warmup, total))
        best, best_weights, dev = -math.inf, network.weights(), dict[str, float]()
        since, epoch, done = 0, 0, 0
        while epoch < config.epochs and since < config.patience:
            network.train()
            for chosen in _batches(self.train.ids, config.batch_size, rng):
                optimizer.zero_grad(set_to_none=True)
                self._loss(run, chosen).backward()  # type: ignore[no-untyped-call]
                norm = torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
                _check_finite(float(norm), done, config)
                optimizer.step()
                schedule.step()
                done += 1
                if done % 10 == 0:
                    self.progress(done, total, f"epoch {epoch + 1}, dev {max(best, 0):.3f}")
            epoch += 1
            since += 1
            scores = _scores(network.eval(), self.task, self.dev, config.bf16)
            reached = scores[self.task.metrics[0]]
            if reached > best:
                best, dev, best_weights, since = reached, scores, network.weights(), 0
        self.progress(total, total, f"{epoch} epochs, dev {best:.3f}")
        return FinetuneResult(network=network, dev=dev, epochs=epoch), best_weights

    def _loss(self, run: Run, chosen: Sequence[int]) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16, self.config.bf16):
            output = run(self.train.batch(chosen))
        loss = self.task.loss(output, self.train, chosen)
        if self.soft is None:
            return loss
        told = stacked(self.soft, chosen)
        return loss + self.soft_weight * self.task.soft_loss(output, told, self.train, chosen)


def _scores(network: EncoderNetwork, task: Task[Any], dev: Encoded, bf16: bool) -> dict[str, float]:
    return score_network(runner(network), task, dev, bf16=bf16)


def _check_finite(norm: float, step: int, config: FinetuneConfig) -> None:
    if not math.isfinite(norm):
        raise SurroundingsError(
            f"Losses must stay finite, but step {step} at a peak rate of "
            f"{config.learning_rate:.2g} gave none; start again with a lower rate."
        )


def _schedule(warmup: float, steps: int) -> Callable[[int], float]:
    rising = max(1.0, warmup * steps)
    return lambda step: min((step + 1) / rising, max(0.0, (steps - step) / max(1, steps - rising)))


def _batches(
    rows: Sequence[Sequence[int]], size: int, rng: np.random.Generator
) -> Iterator[list[int]]:
    """A random order in which texts of like length share a batch: little padding."""
    order = rng.permutation(len(rows))
    pool = size * 16
    batches = []
    for i in range(0, len(order), pool):
        near = sorted(order[i : i + pool].tolist(), key=lambda r: len(rows[r]))
        batches += [near[j : j + size] for j in range(0, len(near), size)]
    for k in rng.permutation(len(batches)):
        yield batches[k]
