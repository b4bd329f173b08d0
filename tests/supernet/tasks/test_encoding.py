"""Rows of texts and pairs, against the tokenizer's own template and by hand."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from exporters.text import TextEncoder
from fleetfit import InputError
from supernet.tasks.encoding import encode_rows
from tests.supernet.tiny import IDS, WORDS

CLS, SEP = IDS["[CLS]"], IDS["[SEP]"]
TEXT = st.lists(st.sampled_from([*WORDS[:20], "unknown", ""]), max_size=12).map(" ".join)


def test_a_pair_by_hand(tokenizer: Any) -> None:
    rows = encode_rows(["w00 w01 w02"], ["w03"], tokenizer, 16)
    assert rows.ids == [[CLS, 5, 6, 7, SEP, 8, SEP]]
    assert rows.segments == [[0, 0, 0, 0, 0, 1, 1]]
    assert rows.cut == 0


def test_the_longer_of_a_pair_is_cut_and_both_ends_stay(tokenizer: Any) -> None:
    rows = encode_rows(["w00 w01 w02 w03", "w00"], ["w04 w05", "w01"], tokenizer, 7)
    assert rows.ids == [[CLS, 5, 6, SEP, 9, 10, SEP], [CLS, 5, SEP, 6, SEP]]
    assert rows.cut == 1


def test_an_overlong_text_is_cut_before_its_end_mark(tokenizer: Any) -> None:
    rows = encode_rows([" ".join(WORDS), "w00 w01 w02"], None, tokenizer, 5)
    assert rows.ids == [[CLS, 5, 6, 7, SEP], [CLS, 5, 6, 7, SEP]]
    assert rows.cut == 1


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(texts=st.lists(TEXT, min_size=1, max_size=4), length=st.integers(5, 20), data=st.data())
def test_a_bundle_tokenises_as_training_did(
    tokenizer: Any, texts: list[str], length: int, data: st.DataObject
) -> None:
    size = len(texts)
    pairs = data.draw(st.none() | st.lists(TEXT, min_size=size, max_size=size))
    rows = encode_rows(texts, pairs, tokenizer, length)
    inputs = TextEncoder(tokenizer.to_str(), max_length=length).encode(texts, pairs)
    for i, (ids, segments) in enumerate(zip(rows.ids, rows.segments, strict=True)):
        real = int(inputs["attention_mask"][i].sum())
        assert inputs["input_ids"][i, :real].tolist() == ids
        assert inputs["token_type_ids"][i, :real].tolist() == segments


def test_pairs_need_room_for_one_token_each(tokenizer: Any) -> None:
    with pytest.raises(InputError, match="max_length >= 5"):
        encode_rows(["w00"], ["w01"], tokenizer, 4)


def test_a_tokenizer_without_end_marks_is_refused() -> None:
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel

    plain = Tokenizer(WordLevel({"a": 0, "[UNK]": 1}, unk_token="[UNK]"))
    with pytest.raises(InputError, match=r"\[CLS\] and \[SEP\]"):
        encode_rows(["a"], ["a"], plain, 9)
    with pytest.raises(InputError, match=r"\[CLS\] and \[SEP\]"):
        TextEncoder(plain.to_str(), max_length=9).encode(["a"], ["a"])
