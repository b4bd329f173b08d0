"""Masked-LM loss and accuracy of sub-networks, the same tokens masked for all."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np
import torch
from torch import Tensor

from fleetfit.architecture import Architecture, Head
from fleetfit.errors import InputError
from fleetfit.query import Precision
from supernet.digests import digest_of_batches
from supernet.forward import Batch, Encoder
from supernet.masking import corrupt, masked_lm_loss
from supernet.measure import Figure
from supernet.model import Supernet
from supernet.precision import computed_in
from supernet.quality import BATCH_SIZE, check_lengths, split

__all__ = ["Masked", "MaskedLm"]

_KEPT: Final = ("[CLS]", "[SEP]", "[PAD]", "[UNK]")


@dataclass(frozen=True, kw_only=True, slots=True)
class Masked:
    """A batch with tokens to predict."""

    batch: Batch
    """What the networks see."""
    clean: Tensor
    """Ids before corruption, batch x seq."""
    chosen: Tensor
    """Positions to predict, bool, batch x seq, never padding."""


class MaskedLm:
    """A ``Measure``: cross-entropy in nats and accuracy at the masked tokens of a text."""

    figures: ClassVar[tuple[Figure, ...]] = (
        Figure(name="masked_lm_loss", title="masked-LM loss", unit="nats"),
        Figure(
            name="masked_lm_accuracy",
            title="masked-LM accuracy",
            unit="share",
            lower_is_better=False,
        ),
    )

    def __init__(
        self,
        supernet: Supernet,
        batches: Sequence[Batch],
        *,
        special_ids: Mapping[str, int],
        seed: int = 0,
        batch_size: int = BATCH_SIZE,
    ) -> None:
        """``special_ids``: of [MASK], [CLS], [SEP], [PAD], [UNK]; only [MASK] is ever predicted.

        Tokens are masked batch by batch as given, by ``seed``, and run ``batch_size`` at a time.
        Raises InputError where no token is masked.
        """
        check_lengths(supernet, batches)
        self.supernet = supernet
        self.masked = _masked(supernet, batches, special_ids, seed)
        """The batches as given, with their tokens to predict."""
        self._count = sum(int(m.chosen.sum()) for m in self.masked)
        if not self._count:
            raise InputError(
                "A text must have a masked token to predict, but of "
                f"{sum(len(b.input_ids) for b in batches)} sequences none was masked; give more."
            )
        self._size = batch_size

    @property
    def data_id(self) -> str:
        """See Measure; over the tokens as masked, so over the seed and the special ids too."""
        sha = hashlib.sha256(b"masked_lm")
        sha.update(digest_of_batches([m.batch for m in self.masked]).encode())
        for masked in self.masked:
            sha.update(masked.clean.numpy().tobytes() + masked.chosen.numpy().tobytes())
        return sha.hexdigest()[:16]

    def __call__(self, arch: Architecture, precision: Precision) -> dict[str, float]:
        """See Measure; logits are computed at the masked positions only."""
        headed = arch.with_head(Head(kind="masked_lm"))
        nats = hits = 0.0
        with torch.no_grad(), computed_in(precision):
            encoder = Encoder(arch=headed, weights=self.supernet.slice(headed))
            for masked in self.masked:
                for part, rows in split(masked.batch, self._size):
                    chosen = masked.chosen[rows]
                    targets = masked.clean[rows][chosen]
                    logits = _logits(encoder, part, chosen).float()
                    nats += float(masked_lm_loss(logits, targets)) * len(targets)
                    hits += float((logits.argmax(dim=-1) == targets).sum())
        return {
            "masked_lm_loss": nats / self._count,
            "masked_lm_accuracy": hits / self._count,
        }


def _logits(encoder: Encoder, batch: Batch, chosen: Tensor) -> Tensor:
    """Predictions at the positions ``chosen``, positions x vocab."""
    hidden = encoder.layers(encoder.embed(batch), batch.attention_mask)[-1]
    logits = encoder.head(hidden[chosen][None], torch.ones(1, int(chosen.sum())))[1]
    assert logits is not None  # the head is a masked LM's
    return logits[0]


def _masked(
    supernet: Supernet, batches: Sequence[Batch], special_ids: Mapping[str, int], seed: int
) -> list[Masked]:
    rng = np.random.default_rng(seed)
    keep = {special_ids[name] for name in _KEPT}
    vocab = supernet.space.source.embedding.vocab_size
    found = []
    for batch in batches:
        ids, chosen = corrupt(
            batch.input_ids, rng, mask_id=special_ids["[MASK]"], vocab_size=vocab, keep=keep
        )
        seen = dataclasses.replace(batch, input_ids=ids)
        chosen &= batch.attention_mask.bool()
        found.append(Masked(batch=seen, clean=batch.input_ids, chosen=chosen))
    return found
