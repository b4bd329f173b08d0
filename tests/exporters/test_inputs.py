"""Seeded inputs: what they promise for any workload."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporters import INPUTS, make_inputs
from fleetfit import Embedding, InputError, Workload

EMBEDDING = Embedding(vocab_size=50, width=4, max_positions=64, segments=2)


@given(
    batch=st.integers(1, 5),
    seq_len=st.integers(1, 64),
    padding=st.floats(0, 0.99),
    seed=st.integers(0, 2**32),
    segments=st.integers(1, 3),
)
def test_inputs_fit_the_network_and_the_workload(
    batch: int, seq_len: int, padding: float, seed: int, segments: int
) -> None:
    embedding = Embedding(vocab_size=50, width=4, max_positions=64, segments=segments)
    workload = Workload(batch=batch, seq_len=seq_len, padding=padding)
    made = make_inputs(embedding, workload, seed=seed, count=2)
    for one in made:
        assert tuple(one) == INPUTS
        assert all(a.shape == (batch, seq_len) and a.dtype == np.int64 for a in one.values())
        assert one["input_ids"].min() >= 0
        assert one["input_ids"].max() < 50
        assert one["token_type_ids"].min() >= 0
        assert one["token_type_ids"].max() < segments
        mask = one["attention_mask"]
        assert (mask[:, 0] == 1).all()
        assert (np.diff(mask, axis=1) <= 0).all()
        kept = mask.sum(axis=1)
        assert kept.max() - kept.min() <= 1
        assert abs((1 - mask).sum() - padding * mask.size) <= max(batch, 0.5)


def test_the_seed_decides() -> None:
    first, again, other = (
        make_inputs(EMBEDDING, Workload(seq_len=16), seed=s, count=1)[0] for s in (1, 1, 2)
    )
    assert (first["input_ids"] == again["input_ids"]).all()
    assert (first["input_ids"] != other["input_ids"]).any()


def test_too_long_a_workload_is_refused() -> None:
    with pytest.raises(InputError, match="64 positions"):
        make_inputs(EMBEDDING, Workload(seq_len=65), seed=0, count=1)


def test_no_inputs_are_refused() -> None:
    with pytest.raises(InputError, match="count"):
        make_inputs(EMBEDDING, Workload(seq_len=8), seed=0, count=0)
