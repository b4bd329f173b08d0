"""Fine-tuning of one extracted network on labelled texts."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F

from fleetfit.architecture import Architecture, Head
from fleetfit.errors import InputError, SurroundingsError
from fleetfit.weights import Weights, weight_shapes
from supernet.network import EncoderNetwork
from supernet.quality import encode_texts, pad
from supernet.tasks import LabelledTexts

__all__ = ["FinetuneConfig", "FinetuneResult", "accuracy", "finetune", "with_classifier"]

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
    arch: Architecture,
    weights: Weights,
    *,
    pooling: Literal["mean", "first"],
    labels: int,
    seed: int = 0,
) -> tuple[Architecture, dict[str, Array]]:
    """A body under a fresh classification head: weights from N(0, 0.02), biases 0."""
    headed = arch.with_head(Head(kind="classification", pooling=pooling, outputs=labels))
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

    The second part is the dev split that decides which epoch is best. Word embeddings of tokens
    in neither part stay as they are. Raises InputError for a network without a classification
    head and SurroundingsError for a loss that is not finite; the network is then as it was.
    """
    _check_classifies(network)
    train, dev = (_Encoded.of(part, tokenizer, config.max_length) for part in parts)
    # A task has a few thousand tokens. AdamW, clipping and zeroing over all 30,522 took a quarter
    # of the steps of a network of 3 layers, 384 wide.
    used = _used_ids(train, dev)
    narrow = _narrowed(network, used)
    narrow.dropout = config.dropout
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)  # for dropout, which has no generator of its own
        result, weights = _train(narrow, (train.placed(used), dev.placed(used)), config, progress)
    with torch.no_grad():
        for name, parameter in network.named_weights().items():
            rows = torch.tensor(used) if name == _TOKENS else slice(None)
            parameter[rows] = torch.from_numpy(weights[name])
    return dataclasses.replace(result, network=network.eval())


def _check_classifies(network: EncoderNetwork) -> None:
    kind = network.arch.head.kind
    if kind != "classification":
        raise InputError(f"A network must have a classification head for a task, but has {kind!r}.")


@dataclass(frozen=True, kw_only=True, slots=True)
class _Encoded:
    """Texts as ids, with their labels."""

    rows: list[list[int]]
    labels: tuple[int, ...]

    @classmethod
    def of(cls, data: LabelledTexts, tokenizer: object, max_length: int) -> _Encoded:
        rows = encode_texts(data.texts, tokenizer, max_length=max_length)
        return cls(rows=rows, labels=data.labels)

    def placed(self, used: Sequence[int]) -> _Encoded:
        """With the place in ``used`` instead of each id."""
        place = {token: i for i, token in enumerate(used)}
        return _Encoded(rows=[[place[t] for t in row] for row in self.rows], labels=self.labels)


def _used_ids(train: _Encoded, dev: _Encoded) -> list[int]:
    return sorted({0}.union(*train.rows, *dev.rows))  # 0 is padding


def _narrowed(network: EncoderNetwork, used: Sequence[int]) -> EncoderNetwork:
    """A copy that knows the tokens ``used`` only, numbered from 0 in their order."""
    weights = network.weights()
    weights[_TOKENS] = weights[_TOKENS][used]
    embedding = dataclasses.replace(network.arch.embedding, vocab_size=len(used))
    return EncoderNetwork.of(dataclasses.replace(network.arch, embedding=embedding), weights)


def _train(
    network: EncoderNetwork,
    parts: tuple[_Encoded, _Encoded],
    config: FinetuneConfig,
    progress: Progress | None,
) -> tuple[FinetuneResult, dict[str, Array]]:
    """The result and the weights of the best epoch."""
    train, dev = parts
    rng = np.random.default_rng(config.seed)
    steps = math.ceil(len(train.rows) / config.batch_size)
    total = steps * config.epochs
    optimizer = torch.optim.AdamW(
        network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay, fused=True
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, _schedule(config.warmup, total))
    best, best_weights, since, epoch, done = -1.0, network.weights(), 0, 0, 0
    while epoch < config.epochs and since < config.patience:
        network.train()
        for chosen in _batches(train.rows, config.batch_size, rng):
            logits, labels = _scored(network, train, chosen, config.bf16)
            loss = F.cross_entropy(logits.float(), labels)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            norm = torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            _check_finite(float(norm), done, config)
            optimizer.step()
            schedule.step()
            done += 1
            if progress is not None and done % 10 == 0:
                progress(done, total, f"epoch {epoch + 1}, dev {max(best, 0):.3f}")
        epoch += 1
        reached = _accuracy(network, dev, config.bf16)
        since += 1
        if reached > best:
            best, best_weights, since = reached, network.weights(), 0
    if progress is not None:
        progress(total, total, f"{epoch} epochs, dev {best:.3f}")
    return FinetuneResult(network=network, dev_accuracy=best, epochs=epoch), best_weights


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


def _scored(
    network: EncoderNetwork, data: _Encoded, chosen: Sequence[int], bf16: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits and labels of some texts."""
    batch = pad([data.rows[r] for r in chosen])
    with torch.autocast("cpu", torch.bfloat16, bf16):
        logits = network(batch.input_ids, batch.attention_mask, batch.token_type_ids).logits
    assert logits is not None
    return logits, torch.tensor([data.labels[r] for r in chosen])


def accuracy(
    network: EncoderNetwork,
    data: LabelledTexts,
    tokenizer: object,
    *,
    max_length: int,
    bf16: bool = False,
) -> float:
    """Share of texts whose largest logit is their label."""
    _check_classifies(network)
    return _accuracy(network, _Encoded.of(data, tokenizer, max_length), bf16)


def _accuracy(network: EncoderNetwork, data: _Encoded, bf16: bool) -> float:
    order = sorted(range(len(data.rows)), key=lambda r: len(data.rows[r]))
    network.eval()
    hits = 0
    for i in range(0, len(order), 128):
        with torch.no_grad():
            logits, labels = _scored(network, data, order[i : i + 128], bf16)
        hits += int((logits.argmax(dim=-1) == labels).sum())
    return hits / len(order)
