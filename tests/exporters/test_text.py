"""Texts become the rows that training made of them, whatever they hold."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporters.text import TextEncoder, read_tokenizer
from fleetfit import InputError
from supernet.tasks.encoding import encode_rows
from tests.exporters.bundles import build_tokenizer

TEXT = st.text() | st.lists(st.sampled_from(["I", "lost", "my", "card"]), max_size=30).map(" ".join)
LONG = {
    "words": ("my card " * 12_500)[:100_000],
    "one word": "x" * 100_000,
    "ideographs": "\N{CJK UNIFIED IDEOGRAPH-6F22}" * 100_000,
    "accents": "e" + "\N{COMBINING ACUTE ACCENT}" * 99_999,
    "emoji": "\N{GRINNING FACE}" * 100_000,
    "null": "\0" * 100_000,
}


def as_trained(texts: list[str], pairs: list[str] | None) -> list[tuple[list[int], list[int]]]:
    whole = read_tokenizer(build_tokenizer())
    rows = encode_rows(texts, pairs, whole, 12)
    return list(zip(rows.ids, rows.segments, strict=True))


def encoded(texts: list[str], pairs: list[str] | None) -> list[tuple[list[int], list[int]]]:
    found = TextEncoder(build_tokenizer(), max_length=12).encode(texts, pairs)
    lengths = found["attention_mask"].sum(axis=1)
    for name, padding in (("input_ids", 0), ("token_type_ids", 0)):
        beyond = found["attention_mask"] == 0
        assert (found[name][beyond] == padding).all()
    return [
        (found["input_ids"][i, :n].tolist(), found["token_type_ids"][i, :n].tolist())
        for i, n in enumerate(lengths)
    ]


@given(st.lists(TEXT, min_size=1, max_size=4))
def test_texts_are_cut_as_in_training(texts: list[str]) -> None:
    assert encoded(texts, None) == as_trained(texts, None)


@given(st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=4))
def test_pairs_are_cut_as_in_training(pairs: list[tuple[str, str]]) -> None:
    firsts, seconds = [a for a, _ in pairs], [b for _, b in pairs]
    assert encoded(firsts, seconds) == as_trained(firsts, seconds)


@pytest.mark.parametrize("what", LONG)
def test_100000_characters_are_cut_as_in_training(what: str) -> None:
    text = LONG[what]
    assert len(text) == 100_000
    assert encoded([text], None) == as_trained([text], None)
    assert encoded([text], ["my card"]) == as_trained([text], ["my card"])


def test_padding_reaches_the_longest_text_or_the_given_length() -> None:
    encoder = TextEncoder(build_tokenizer(), max_length=12)
    texts = ["", "I lost my card"]
    assert encoder.encode(texts)["input_ids"].shape == (2, 6)
    fixed = encoder.encode(texts, seq_len=12)
    assert fixed["input_ids"].shape == (2, 12)
    np.testing.assert_array_equal(fixed["attention_mask"].sum(axis=1), [2, 6])


@pytest.mark.parametrize("text", ["\ud800", "a \udfff b"])
def test_half_characters_are_refused_in_a_sentence(text: str) -> None:
    encoder = TextEncoder(build_tokenizer(), max_length=12)
    for texts, seconds in ((["I", text], None), (["I"], [text]), ([text], ["I"])):
        with pytest.raises(InputError, match="must be valid Unicode, but one holds half"):
            encoder.encode(texts, seconds)
