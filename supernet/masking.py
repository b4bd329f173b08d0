"""Masked-LM corruption: 15 % of tokens, of these 80 % [MASK], 10 % random, 10 % kept (BERT)."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["corrupt", "masked_lm_loss"]

_SHARE = 0.15


def corrupt(
    input_ids: Tensor, rng: np.random.Generator, *, mask_id: int, vocab_size: int, keep: set[int]
) -> tuple[Tensor, Tensor]:
    """Corrupted ids and the positions to predict (bool), both batch x seq.

    Ids in ``keep`` ([CLS], [SEP], [PAD], [UNK]) are neither changed nor predicted.
    """
    ids = input_ids.numpy()
    chosen = (rng.random(ids.shape) < _SHARE) & ~np.isin(ids, list(keep))
    kind = rng.random(ids.shape)
    drawn = rng.integers(vocab_size, size=ids.shape)
    corrupted = np.where(chosen & (kind < 0.8), mask_id, ids)
    corrupted = np.where(chosen & (kind >= 0.8) & (kind < 0.9), drawn, corrupted)
    return torch.from_numpy(corrupted), torch.from_numpy(chosen)


def masked_lm_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Mean cross-entropy in nats; logits positions x vocab, targets positions; 0 of none."""
    if not len(targets):
        return logits.float().sum()
    return F.cross_entropy(logits.float(), targets)
