"""The hidden-state loss, against hand computation and under padding."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch

from fleetfit import InputError
from supernet.network import EncoderNetwork
from supernet.quality import HiddenLoss, encode_texts, pad, sentences, split, windows
from tests.supernet.tiny import (
    batch,
    hidden_quality,
    members,
    stream,
    tiny_supernet,
)

ROWS = [[2, 7, 9, 3], [2, 30, 3], [2, 50, 51, 52, 53, 54, 3]]


def test_the_largest_member_has_loss_zero() -> None:
    supernet = tiny_supernet()
    loss = HiddenLoss(supernet, [pad(ROWS)])
    assert loss([(supernet.space.largest(), "fp32")])[0] < 1e-8


def test_the_loss_is_the_mean_over_sequences() -> None:
    supernet = tiny_supernet()
    loss = hidden_quality(supernet)
    for arch in members(supernet.space).values():
        each = loss.per_sequence(arch, "fp32")
        assert each.shape == (8,)
        assert loss([(arch, "fp32")]) == [pytest.approx(each.mean())]


def test_the_loss_by_hand() -> None:
    supernet = tiny_supernet()
    arch = supernet.space.smallest()
    largest = supernet.space.largest()
    ours, theirs = [], []
    for row in ROWS:  # one by one: no padding
        alone = pad([row])
        ours.append(supernet.readout(arch, supernet(alone, arch).hidden)[0].detach())
        theirs.append(supernet(alone, largest).hidden[0].detach())
    everything = torch.cat(theirs)
    variance = (everything - everything.mean(dim=0)).square().mean()
    wanted = [((a - b).square().mean() / variance) for a, b in zip(ours, theirs, strict=True)]
    loss = HiddenLoss(supernet, [pad(ROWS)])
    assert loss.per_sequence(arch, "fp32") == pytest.approx([float(w) for w in wanted], rel=1e-4)


def test_padding_and_grouping_change_no_sequence() -> None:
    supernet = tiny_supernet()
    arch = supernet.space.smallest()
    together = HiddenLoss(supernet, [pad(ROWS)]).per_sequence(arch, "fp32")
    alone = HiddenLoss(supernet, [pad([row]) for row in ROWS]).per_sequence(arch, "fp32")
    assert together == pytest.approx(alone, rel=1e-4)


def test_another_teacher_is_what_states_are_compared_to() -> None:
    supernet, other = tiny_supernet(), tiny_supernet(seed=9)
    largest = supernet.space.largest()
    teacher = EncoderNetwork.of(largest, other.extract(largest))
    loss = HiddenLoss(supernet, [batch()], teacher=teacher)
    assert loss([(largest, "fp32")])[0] > 0.5


def test_a_loss_over_nothing_is_refused() -> None:
    with pytest.raises(InputError, match="at least one text"):
        HiddenLoss(tiny_supernet(), [])


def test_sequences_beyond_the_positions_are_refused() -> None:
    with pytest.raises(InputError, match=r"at most the model's 40 positions.*41 tokens"):
        HiddenLoss(tiny_supernet(), [batch(), batch(length=41)])


def test_a_teacher_of_other_sizes_is_refused() -> None:
    supernet = tiny_supernet()
    with pytest.raises(InputError, match="sizes of the supernet's source"):
        HiddenLoss(supernet, [batch()], teacher=EncoderNetwork(supernet.space.smallest()))


def test_bf16_costs_a_little() -> None:
    supernet = tiny_supernet()
    got = hidden_quality(supernet)([(supernet.space.largest(), "bf16")])[0]
    assert 0 < got < 0.01


def test_data_id_changes_with_the_data_and_nothing_else() -> None:
    supernet = tiny_supernet()
    base = batch()
    flat = base.input_ids.reshape(2, 18)
    variants = {
        "same": HiddenLoss(supernet, [base]),
        "other_ids": HiddenLoss(supernet, [batch(seed=1)]),
        "no_mask": HiddenLoss(
            supernet,
            [dataclasses.replace(base, attention_mask=torch.ones_like(base.attention_mask))],
        ),
        "other_shape": HiddenLoss(supernet, [type(base).of(flat)]),
    }
    ids = {name: loss.data_id for name, loss in variants.items()}
    assert len(set(ids.values())) == len(ids)
    assert HiddenLoss(tiny_supernet(seed=4), [batch()]).data_id == ids["same"]


def test_the_data_id_of_losses_kept_earlier_stays() -> None:
    assert HiddenLoss(tiny_supernet(), [pad(ROWS)]).data_id == "fdc5400efa00225b"  # version 0.1.0


def test_the_data_id_knows_a_given_teacher() -> None:
    supernet = tiny_supernet()
    largest = supernet.space.largest()
    ids = {HiddenLoss(supernet, [batch()]).data_id}
    for seed in (0, 9):
        teacher = EncoderNetwork.of(largest, tiny_supernet(seed=seed).extract(largest))
        ids.add(HiddenLoss(supernet, [batch()], teacher=teacher).data_id)
    assert len(ids) == 3


def test_parts_of_a_batch_are_its_rows() -> None:
    whole = batch(rows=5)
    parts = list(split(whole, 2))
    assert [len(part.input_ids) for part, _ in parts] == [2, 2, 1]
    for field in ("input_ids", "attention_mask", "token_type_ids"):
        got = torch.cat([getattr(part, field) for part, _ in parts])
        assert torch.equal(got, getattr(whole, field))
        assert all(
            torch.equal(getattr(part, field), getattr(whole, field)[rows]) for part, rows in parts
        )


def test_windows_are_spread_evenly() -> None:
    text = stream(tokens=100)
    batches = windows(text, count=4, seq_len=12, batch_size=3)  # 10 windows: 0, 3, 6, 9
    assert [len(b.input_ids) for b in batches] == [3, 1]
    got = torch.cat([b.input_ids for b in batches]).tolist()
    assert got == text.batch([0, 3, 6, 9], 12).tolist()
    assert sum(len(b.input_ids) for b in windows(text, count=50, seq_len=12)) == 10


@pytest.mark.parametrize(
    ("count", "seq_len", "message"),
    [(0, 12, "count >= 1"), (4, 2, "at least 3 tokens"), (4, 103, "at least one window of 103")],
)
def test_windows_that_cannot_be_cut_are_refused(count: int, seq_len: int, message: str) -> None:
    with pytest.raises(InputError, match=message):
        windows(stream(tokens=100), count=count, seq_len=seq_len)


def test_sentences_are_cut_sorted_and_padded(tokenizer: Any) -> None:
    texts = ["w00 w01 w02 w03", "w04"]
    assert encode_texts(texts, tokenizer, max_length=4) == [[2, 5, 6, 3], [2, 9, 3]]
    (made,) = sentences(texts, tokenizer, max_length=4)
    assert made.input_ids.tolist() == [[2, 9, 3, 0], [2, 5, 6, 3]]
    assert made.attention_mask.tolist() == [[1, 1, 1, 0], [1, 1, 1, 1]]
