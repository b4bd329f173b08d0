"""Splits lose nothing and keep together what belongs together."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetfit import InputError
from supernet.tasks import LabelledTexts, NumberedTexts, split, split_groups


@given(
    labels=st.lists(st.integers(0, 3), min_size=8, max_size=60),
    share=st.floats(0.05, 0.95),
    seed=st.integers(0, 99),
)
def test_a_split_is_stratified_and_loses_nothing(
    labels: list[int], share: float, seed: int
) -> None:
    data = LabelledTexts(
        texts=tuple(map(str, range(len(labels)))), labels=tuple(labels), names=tuple("abcd")
    )
    train, dev = split(data, share=share, seed=seed)
    assert sorted((*train.texts, *dev.texts), key=int) == list(data.texts)
    for part in (train, dev):
        assert all(labels[int(t)] == y for t, y in zip(part.texts, part.labels, strict=True))
    for label in set(labels):
        count, held = labels.count(label), dev.labels.count(label)
        assert held == min(count - 1, max(1, round(share * count)))
    assert split(data, share=share, seed=seed) == (train, dev)


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_a_share_out_of_range_is_refused(share: float) -> None:
    with pytest.raises(InputError, match="0 < share < 1"):
        split(LabelledTexts(texts=("a",), labels=(0,), names=("x",)), share=share, seed=0)


def test_a_task_has_two_labels() -> None:
    data = LabelledTexts(texts=("a", "b"), labels=(0, 0), names=("only",))
    with pytest.raises(InputError, match="at least two labels, but the only one is 'only'"):
        split(data, share=0.5, seed=0)


@given(
    groups=st.lists(st.integers(0, 9), min_size=2, max_size=40).filter(lambda g: len(set(g)) > 1),
    share=st.floats(0.05, 0.95),
    seed=st.integers(0, 99),
)
def test_groups_stay_whole_and_nothing_is_lost(groups: list[int], share: float, seed: int) -> None:
    texts = tuple(map(str, range(len(groups))))
    data = NumberedTexts(texts=texts, numbers=tuple(map(float, groups)), pairs=texts)
    train, dev = split_groups(data, groups, share=share, seed=seed)
    assert sorted((*train.texts, *dev.texts), key=int) == list(texts)
    assert train.texts == train.pairs
    assert not set(train.numbers) & set(dev.numbers)
    count = len(set(groups))
    assert len(set(dev.numbers)) == min(count - 1, max(1, round(share * count)))
    assert split_groups(data, groups, share=share, seed=seed) == (train, dev)


def test_one_group_cannot_be_split() -> None:
    data = NumberedTexts(texts=("a", "b"), numbers=(0.0, 1.0))
    with pytest.raises(InputError, match="at least two groups of examples, but there are 1"):
        split_groups(data, [7, 7], share=0.5, seed=0)
