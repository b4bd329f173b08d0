"""Seeded inputs: what they promise for any workload."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from exporters import INPUTS, Inputs, make_inputs
from fleetfit import Embedding, InputError, Workload
from tests.fleetfit.strategies import workloads_with_lengths

EMBEDDING = Embedding(vocab_size=50, width=4, max_positions=64, segments=2)
seeds = st.integers(0, 2**32)
laws = workloads_with_lengths(longest=64)


def real_of(made: Sequence[Inputs]) -> list[int]:
    """Real tokens of every row of every input."""
    return [int(n) for one in made for n in one["attention_mask"].sum(axis=1)]


@given(
    batch=st.integers(1, 5),
    seq_len=st.integers(1, 64),
    padding=st.floats(0, 0.99),
    seed=seeds,
    segments=st.integers(1, 3),
)
def test_inputs_fit_the_network_and_the_workload(
    batch: int, seq_len: int, padding: float, seed: int, segments: int
) -> None:
    embedding = Embedding(vocab_size=50, width=4, max_positions=64, segments=segments)
    workload = Workload(batch=batch, seq_len=seq_len, padding=padding)
    for one in make_inputs(embedding, workload, seed=seed, count=2):
        check_fit(one, embedding, workload)
        kept = one["attention_mask"].sum(axis=1)
        assert kept.max() - kept.min() <= 1
        padded = (1 - one["attention_mask"]).sum()
        assert abs(padded - padding * batch * seq_len) <= max(batch, 0.5)


def check_fit(one: Inputs, embedding: Embedding, workload: Workload) -> None:
    """Names, shapes and ranges; padding at the ends, and nothing in it."""
    shape = (workload.batch, workload.seq_len)
    assert tuple(one) == INPUTS
    assert all(a.shape == shape and a.dtype == np.int64 for a in one.values())
    assert one["input_ids"].min() >= 0
    assert one["input_ids"].max() < embedding.vocab_size
    assert one["token_type_ids"].min() >= 0
    assert one["token_type_ids"].max() < embedding.segments
    mask = one["attention_mask"]
    assert set(np.unique(mask)) <= {0, 1}
    assert (mask[:, 0] == 1).all()
    assert (np.diff(mask, axis=1) <= 0).all()
    assert not one["input_ids"][mask == 0].any()
    assert not one["token_type_ids"][mask == 0].any()


@given(workload=laws, seed=seeds, count=st.integers(1, 9))
def test_inputs_fit_a_law_of_lengths(workload: Workload, seed: int, count: int) -> None:
    made = make_inputs(EMBEDDING, workload, seed=seed, count=count)
    assert len(made) == count
    for one in made:
        check_fit(one, EMBEDDING, workload)


@given(workload=laws, seed=seeds, count=st.integers(1, 9))
def test_the_law_is_kept_as_closely_as_the_rows_allow(
    workload: Workload, seed: int, count: int
) -> None:
    """Of evenly spaced quantiles the mean is off by at most one share of the range."""
    real = real_of(make_inputs(EMBEDDING, workload, seed=seed, count=count))
    lengths = workload.lengths
    assert set(real) <= set(lengths)
    share = (lengths[-1] - lengths[0]) / min(len(real), len(lengths))
    assert abs(np.mean(real) - np.mean(lengths)) <= share + 1e-9
    times = Counter(real)
    for length, wanted in Counter(lengths).items():
        # Each of the equally likely values comes as often as its share, rounded either way.
        exact = wanted * len(real) / len(lengths)
        assert abs(times[length] - exact) < 1 + 1e-9


@given(lengths=st.lists(st.integers(1, 64), min_size=64, max_size=64), seed=seeds)
def test_eight_inputs_of_eight_rows_take_each_of_64_lengths_once(
    lengths: list[int], seed: int
) -> None:
    law = tuple(sorted(lengths))
    workload = Workload(batch=8, seq_len=64, lengths=law)
    assert sorted(real_of(make_inputs(EMBEDDING, workload, seed=seed, count=8))) == list(law)


def test_the_order_of_the_lengths_is_random() -> None:
    workload = Workload(batch=4, seq_len=64, lengths=tuple(range(1, 65)))
    orders = [real_of(make_inputs(EMBEDDING, workload, seed=s, count=8)) for s in range(3)]
    assert len({tuple(order) for order in orders}) == 3
    assert all(order != sorted(order) for order in orders)


@given(
    workload=laws | st.builds(Workload, batch=st.integers(1, 3), seq_len=st.integers(1, 4)),
    vocab_size=st.integers(1, 9),
    seed=seeds,
)
def test_inputs_differ_where_the_words_allow_it(
    workload: Workload, vocab_size: int, seed: int
) -> None:
    """Also where collisions are certain: one word of eight in eight inputs."""
    embedding = Embedding(vocab_size=vocab_size, width=4, max_positions=64, segments=2)
    made = make_inputs(embedding, workload, seed=seed, count=8)
    different = len({one["input_ids"].tobytes() for one in made})
    shortest = min(int(one["attention_mask"].sum()) for one in made)
    assert different >= min(8, vocab_size**shortest)


@given(workload=laws, seed=seeds)
def test_the_seed_decides(workload: Workload, seed: int) -> None:
    first, again, other = (
        make_inputs(EMBEDDING, workload, seed=s, count=8) for s in (seed, seed, seed + 1)
    )
    for one, same in zip(first, again, strict=True):
        assert all((one[name] == same[name]).all() for name in INPUTS)
    assume(sum(real_of(first)) > 16)  # 50^16 ids: equal ones do not happen
    assert any(
        one["input_ids"].tobytes() != two["input_ids"].tobytes()
        for one, two in zip(first, other, strict=True)
    )


def test_inputs_of_earlier_measurements_are_what_they_were() -> None:
    """Reference: the hash of what the commit before laws of lengths made."""
    made = make_inputs(EMBEDDING, Workload(batch=3, seq_len=16, padding=0.3), seed=7, count=2)
    data = b"".join(array.tobytes() for one in made for array in one.values())
    assert hashlib.sha256(data).hexdigest()[:16] == "889bdd3f5758900f"


def test_too_long_a_workload_is_refused() -> None:
    with pytest.raises(InputError, match="64 positions"):
        make_inputs(EMBEDDING, Workload(seq_len=65), seed=0, count=1)


def test_no_inputs_are_refused() -> None:
    with pytest.raises(InputError, match="count"):
        make_inputs(EMBEDDING, Workload(seq_len=8), seed=0, count=0)
