"""Fine-tuning of one extracted network on labelled texts."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F

from fleetfit.architecture import Architecture, Head
from fleetfit.errors import InputError
from fleetfit.weights import Weights, weight_shapes
from supernet.network import EncoderNetwork
from supernet.quality import encode_texts, pad
from supernet.tasks import LabelledTexts

__all__ = ["FinetuneConfig", "FinetuneResult", "accuracy", "finetune", "with_classifier"]

Array = npt.NDArray[np.float32]
Progress = Callable[[int, int, str], None]


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
    """Stop after this many epochs without a better dev accuracy."""
    max_length: int = 128
    bf16: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        """Counts and rates are positive."""
        if min(self.epochs, self.batch_size, self.patience) < 1 or self.max_length < 3:
            raise InputError("Epochs, batch size and patience must be >= 1, max_length >= 3.")
        if not 0 < self.learning_rate < math.inf or not 0 <= self.dropout < 1:
            raise InputError("`learning_rate > 0` (finite) and `0 <= dropout < 1` must hold.")


@dataclass(frozen=True, kw_only=True, slots=True)
class FinetuneResult:
    """The best network by dev accuracy."""

    network: EncoderNetwork
    dev_accuracy: float
    epochs: int
    """Epochs run, the last ones possibly in vain."""


def with_classifier(
    arch: Architecture, weights: Weights, *, pooling: str, labels: int, seed: int = 0
) -> tuple[Architecture, dict[str, Array]]:
    """A body under a fresh classification head: weights from N(0, 0.02), biases 0."""
    head = Head(
        kind="classification", pooling="mean" if pooling == "mean" else "first", outputs=labels
    )
    headed = arch.with_head(head)
    shapes = weight_shapes(headed)
    rng = np.random.default_rng(seed)
    named = {name: np.asarray(weights[name]) for name in shapes if name in weights}
    named["head.output.weight"] = rng.normal(0, 0.02, shapes["head.output.weight"]).astype(
        np.float32
    )
    named["head.output.bias"] = np.zeros(labels, dtype=np.float32)
    return headed, named


def finetune(
    network: EncoderNetwork,
    parts: tuple[LabelledTexts, LabelledTexts],
    tokenizer: object,
    *,
    config: FinetuneConfig,
    progress: Progress | None = None,
) -> FinetuneResult:
    """Train ``network`` in place on the first of ``parts`` and leave it at its best epoch.

    The second part is the dev split that decides which epoch is best.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)  # for dropout, which has no generator of its own
        return _train(network, parts, tokenizer, config, progress)


def _train(
    network: EncoderNetwork,
    parts: tuple[LabelledTexts, LabelledTexts],
    tokenizer: object,
    config: FinetuneConfig,
    progress: Progress | None,
) -> FinetuneResult:
    train, dev = parts
    rng = np.random.default_rng(config.seed)
    network.dropout = config.dropout
    rows = encode_texts(train.texts, tokenizer, max_length=config.max_length)
    steps = math.ceil(len(rows) / config.batch_size)
    optimizer = torch.optim.AdamW(
        network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay, fused=True
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, _schedule(config.warmup, steps * config.epochs)
    )
    best, best_weights, since, epoch, done = -1.0, network.weights(), 0, 0, 0
    while epoch < config.epochs and since < config.patience:
        network.train()
        for chosen in _batches(rows, config.batch_size, rng):
            loss = _loss(network, rows, train.labels, chosen, config)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            done += 1
            if progress is not None and done % 10 == 0:
                progress(done, steps * config.epochs, f"epoch {epoch + 1}, dev {max(best, 0):.3f}")
        epoch += 1
        reached = accuracy(network, dev, tokenizer, max_length=config.max_length, bf16=config.bf16)
        since += 1
        if reached > best:
            best, best_weights, since = reached, network.weights(), 0
    _restore(network, best_weights)
    network.dropout = 0.0
    if progress is not None:
        progress(steps * config.epochs, steps * config.epochs, f"{epoch} epochs, dev {best:.3f}")
    return FinetuneResult(network=network.eval(), dev_accuracy=best, epochs=epoch)


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


def _loss(
    network: EncoderNetwork,
    rows: Sequence[Sequence[int]],
    labels: Sequence[int],
    chosen: Sequence[int],
    config: FinetuneConfig,
) -> torch.Tensor:
    batch = pad([rows[r] for r in chosen])
    with torch.autocast("cpu", torch.bfloat16, config.bf16):
        logits = network(batch.input_ids, batch.attention_mask, batch.token_type_ids).logits
    if logits is None:
        raise InputError("A network must have a classification head to be fine-tuned.")
    return F.cross_entropy(logits.float(), torch.tensor([labels[r] for r in chosen]))


def accuracy(
    network: EncoderNetwork,
    data: LabelledTexts,
    tokenizer: object,
    *,
    max_length: int,
    bf16: bool = False,
) -> float:
    """Share of texts whose largest logit is their label."""
    rows = encode_texts(data.texts, tokenizer, max_length=max_length)
    order = sorted(range(len(rows)), key=lambda r: len(rows[r]))
    network.eval()
    hits = 0
    for i in range(0, len(order), 128):
        chosen = order[i : i + 128]
        batch = pad([rows[r] for r in chosen])
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, bf16):
            logits = network(batch.input_ids, batch.attention_mask, batch.token_type_ids).logits
        if logits is None:
            raise InputError("A network must have a classification head to be scored.")
        hits += int((logits.argmax(dim=-1) == torch.tensor([data.labels[r] for r in chosen])).sum())
    return hits / len(data)


def _restore(network: EncoderNetwork, weights: dict[str, Array]) -> None:
    with torch.no_grad():
        for name, parameter in network.named_weights().items():
            parameter.copy_(torch.from_numpy(weights[name]))
