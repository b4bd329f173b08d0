"""Lengths of texts in tokens, and laws that stand for many of them."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from exporters import length_law, token_lengths
from exporters.lengths import QUANTILES
from exporters.text import TextEncoder
from fleetfit import InputError, Workload

lengths_of_texts = st.lists(st.integers(1, 200), min_size=1, max_size=300)


@pytest.fixture(scope="module")
def tokenizer() -> str:
    """Words at white space, [CLS] and [SEP] around; cuts and pads oddly when asked nothing."""
    names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "b"]
    made = Tokenizer(models.WordLevel({n: i for i, n in enumerate(names)}, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    made.enable_truncation(3)
    made.enable_padding(length=50)
    return str(made.to_str())


def test_special_tokens_count_and_long_texts_are_cut(tokenizer: str) -> None:
    texts = ["a", "", "a b unknown", "a " * 100]
    assert token_lengths(texts, tokenizer, max_length=8).tolist() == [3, 2, 5, 8]


@given(words=st.lists(st.integers(0, 12), max_size=9), max_length=st.integers(2, 9))
def test_lengths_are_those_that_production_runs(
    tokenizer: str, words: list[int], max_length: int
) -> None:
    texts = ["a " * n for n in words]
    found = token_lengths(iter(texts), tokenizer, max_length=max_length).tolist()
    encoder = TextEncoder(tokenizer, max_length=max_length)
    assert found == [encoder.encode([t])["input_ids"].shape[1] for t in texts]


def test_more_texts_than_are_read_at_once(tokenizer: str) -> None:
    found = token_lengths(("a " * (i % 7) for i in range(2500)), tokenizer, max_length=16)
    assert found.tolist() == [i % 7 + 2 for i in range(2500)]


def test_what_is_no_tokenizer_or_no_text_is_refused(tokenizer: str) -> None:
    for wrong in ("", "{}", json.dumps({"model": 1})):
        with pytest.raises(InputError, match=r"valid tokenizer\.json"):
            token_lengths(["a"], wrong, max_length=8)
    with pytest.raises(InputError, match="valid Unicode"):
        token_lengths(["\ud800"], tokenizer, max_length=8)
    with pytest.raises(InputError, match="2 tokens or more"):
        token_lengths(["a"], tokenizer, max_length=1)
    with pytest.raises(InputError, match="at least one text"):
        length_law(token_lengths([], tokenizer, max_length=8), seq_len=8)


@given(lengths_of_texts, st.integers(1, 200))
def test_a_law_is_of_its_texts_and_fits_a_workload(lengths: list[int], seq_len: int) -> None:
    law = length_law(np.array(lengths), seq_len=seq_len)
    assert Workload(seq_len=seq_len, lengths=law).lengths == law
    cut = [min(n, seq_len) for n in lengths]
    assert set(law) <= set(cut)
    assert len(law) == (QUANTILES if len(set(cut)) > 1 else int(cut[0] < seq_len))


@given(lengths_of_texts)
def test_a_law_is_near_its_texts(lengths: list[int]) -> None:
    """Reference: the values at the middles of equal shares of a sorted list."""
    law = length_law(np.array(lengths), seq_len=200) or (200,)
    share = (max(lengths) - min(lengths)) / QUANTILES
    assert abs(np.mean(law) - np.mean(lengths)) <= share + 1e-9
    for number in (min(law), max(law), int(np.median(law))):
        below = np.mean(np.array(law) <= number), np.mean(np.array(lengths) <= number)
        assert abs(below[0] - below[1]) <= 1 / QUANTILES


@given(lengths_of_texts)
def test_the_order_of_texts_does_not_matter(lengths: list[int]) -> None:
    again = sorted(lengths, reverse=True)
    assert length_law(np.array(lengths), seq_len=64) == length_law(np.array(again), seq_len=64)


def test_sixty_four_texts_are_their_own_law() -> None:
    assert length_law(np.arange(64, 0, -1), seq_len=64) == tuple(range(1, 65))


def test_equal_texts_are_a_fixed_length_or_none() -> None:
    assert length_law(np.full(9, 7), seq_len=16) == (7,)
    assert length_law(np.array([16, 17, 40]), seq_len=16) == ()
