"""Masked-LM figures by hand over the whole logits, and what is masked."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch

from fleetfit import Head, InputError
from supernet.forward import Batch
from supernet.masked_lm import MaskedLm
from supernet.quality import pad
from tests.supernet import tiny

ROWS = [[2, *([1, 8 + i] * 9), 3] for i in range(20)] + [[2, 9, 3]]
BATCHES = [pad(ROWS[:10]), pad(ROWS[10:])]


def measure(batches: Sequence[Batch] = tuple(BATCHES), *, seed: int = 0, size: int = 4) -> MaskedLm:
    return MaskedLm(tiny.tiny_supernet(), batches, special_ids=tiny.IDS, seed=seed, batch_size=size)


@pytest.mark.parametrize("name", tiny.members(tiny.tiny_space()))
def test_the_figures_by_hand(name: str) -> None:
    ours = measure()
    supernet = tiny.tiny_supernet()
    body = tiny.members(supernet.space)[name]
    wanted, hits = [], []
    for masked in ours.masked:
        logits = supernet(masked.batch, body.with_head(Head(kind="masked_lm"))).logits
        assert logits is not None
        for r, c in masked.chosen.nonzero().tolist():
            target = int(masked.clean[r, c])
            wanted.append(-float(logits[r, c].detach().log_softmax(dim=-1)[target]))
            hits.append(int(logits[r, c].argmax()) == target)
    assert len(wanted) > 10
    found = ours(body, "fp32")
    assert found["masked_lm_loss"] == pytest.approx(sum(wanted) / len(wanted), rel=1e-4)
    assert found["masked_lm_accuracy"] == pytest.approx(sum(hits) / len(hits))


def test_special_tokens_are_neither_masked_nor_predicted() -> None:
    for masked in measure().masked:
        special = masked.clean < 5  # padding is 0, an unknown word 1
        assert not masked.chosen[special].any()
        assert torch.equal(masked.batch.input_ids[special], masked.clean[special])


def test_how_many_run_at_once_changes_nothing() -> None:
    arch = tiny.tiny_space().smallest()
    for size in (1, 3, 100):
        assert measure(size=size)(arch, "fp32") == pytest.approx(measure()(arch, "fp32"), rel=1e-4)
        assert measure(size=size).data_id == measure().data_id


def test_bf16_is_bf16_and_near() -> None:
    arch = tiny.tiny_space().largest()
    exact, rounded = (measure()(arch, precision) for precision in ("fp32", "bf16"))
    assert exact["masked_lm_loss"] != rounded["masked_lm_loss"]
    assert exact["masked_lm_loss"] == pytest.approx(rounded["masked_lm_loss"], rel=0.02)


def test_a_batch_without_a_masked_token_counts_for_nothing() -> None:
    unknown = pad([[2, 1, 3], [2, 1, 1, 3]])
    ours = measure([*BATCHES, unknown])
    assert not ours.masked[-1].chosen.any()
    arch = ours.supernet.space.smallest()
    assert ours(arch, "fp32") == measure()(arch, "fp32")


def test_a_text_without_a_masked_token_is_refused() -> None:
    with pytest.raises(InputError, match="of 1 sequences none was masked"):
        measure([pad([[2, 1, 3]])])
