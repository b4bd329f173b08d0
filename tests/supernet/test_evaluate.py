"""Evaluation: the named members, what is masked, and the masked-LM loss by hand."""

from __future__ import annotations

import math

import pytest
import torch

from fleetfit import Head
from supernet.evaluate import evaluate, named_members
from supernet.forward import Batch
from supernet.quality import HiddenLoss, pad
from tests.supernet import tiny
from tests.supernet.spaces.spaces import ELASTIC, SPACES


@pytest.mark.parametrize("name", SPACES)
def test_the_named_members_are_in_the_space(name: str) -> None:
    space = SPACES[name]
    found = named_members(space)
    assert len(found) == (7 if name in ELASTIC else 3)
    assert all(space.contains(arch) for arch in found.values())
    assert found["largest"] == space.largest()
    assert found["smallest"] == space.smallest()


def recorded(
    monkeypatch: pytest.MonkeyPatch, batches: list[Batch]
) -> tuple[list[tuple[Batch, torch.Tensor, torch.Tensor]], float, float]:
    """What is masked in each batch, and the largest member's loss and accuracy on it."""
    import supernet.evaluate as module

    seen: list[tuple[Batch, torch.Tensor, torch.Tensor]] = []
    original = module._corrupted

    def spy(*args):
        seen.extend(original(*args))
        return seen

    monkeypatch.setattr(module, "_corrupted", spy)
    supernet = tiny.tiny_supernet()
    loss = HiddenLoss(supernet, batches)
    (result,) = evaluate(loss, {"largest": supernet.space.largest()}, special_ids=tiny.IDS)
    assert result.hidden_loss < 1e-8
    return seen, result.masked_lm_loss, result.masked_lm_accuracy


def test_the_loss_by_hand_and_unknown_words_never_scored(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [[2, *([1, 8 + i] * 9), 3] for i in range(20)] + [[2, 9, 3]]
    seen, nats, accuracy = recorded(monkeypatch, [pad(rows[:10]), pad(rows[10:])])
    supernet = tiny.tiny_supernet()
    arch = supernet.space.largest().with_head(Head(kind="masked_lm"))
    wanted, hits = [], []
    for masked, clean, chosen in seen:
        special = clean < 5
        assert not chosen[special].any()
        assert torch.equal(masked.input_ids[special], clean[special])
        logits = supernet(masked, arch).logits
        assert logits is not None
        for r, c in chosen.nonzero().tolist():
            target = int(clean[r, c])
            wanted.append(-float(logits[r, c].detach().log_softmax(dim=-1)[target]))
            hits.append(int(logits[r, c].argmax()) == target)
    assert len(wanted) > 10
    assert nats == pytest.approx(sum(wanted) / len(wanted), rel=1e-4)
    assert accuracy == pytest.approx(sum(hits) / len(hits))


def test_a_batch_without_a_masked_position_counts_for_nothing() -> None:
    supernet = tiny.tiny_supernet()
    unknown = pad([[2, 1, 3], [2, 1, 1, 3]])
    loss = HiddenLoss(supernet, [unknown, tiny.batch(rows=8, length=30)])
    (result,) = evaluate(loss, {"smallest": supernet.space.smallest()}, special_ids=tiny.IDS)
    assert math.isfinite(result.masked_lm_loss)


def test_evaluation_is_repeatable() -> None:
    supernet = tiny.tiny_supernet()
    chosen = named_members(supernet.space)
    first, again = (
        evaluate(tiny.hidden_quality(supernet), chosen, special_ids=tiny.IDS) for _ in range(2)
    )
    assert first == again
    assert [e.name for e in first] == list(chosen)
