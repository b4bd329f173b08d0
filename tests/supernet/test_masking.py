"""Corruption at BERT's rates, and its loss by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from supernet.masking import corrupt, masked_lm_loss


def test_rates_are_berts_and_kept_ids_are_left_alone() -> None:
    ids = torch.from_numpy(np.random.default_rng(1).integers(0, 1000, (200, 500)))
    rng = np.random.default_rng(0)
    corrupted, chosen = corrupt(ids, rng, mask_id=4, vocab_size=1000, keep={0, 1, 2, 3})
    kept = ids < 4
    assert not chosen[kept].any()
    assert torch.equal(corrupted[~chosen], ids[~chosen])
    assert float(chosen.float().mean()) == pytest.approx(0.15, abs=0.005)
    new, old = corrupted[chosen], ids[chosen]
    assert float((new == 4).float().mean()) == pytest.approx(0.8, abs=0.01)
    assert float((new == old).float().mean()) == pytest.approx(0.1, abs=0.01)


def test_the_loss_by_hand() -> None:
    logits = torch.tensor([[0.0, 0.0], [math.log(3.0), 0.0]])
    wanted = (math.log(2) + math.log(4 / 3)) / 2
    assert float(masked_lm_loss(logits, torch.tensor([1, 0]))) == pytest.approx(wanted)


def test_no_position_has_no_loss() -> None:
    assert float(masked_lm_loss(torch.zeros(0, 5), torch.zeros(0, dtype=torch.int64))) == 0
