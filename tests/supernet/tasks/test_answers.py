"""SQuAD's metrics by hand."""

from __future__ import annotations

import pytest

from supernet.tasks.answers import answer_f1, exact_match, normalised


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ("The Denver Broncos!", "denver broncos"),
        ("  a  man,   an ape and the  rest ", "man ape and rest"),
        ("Theatre", "theatre"),  # articles are whole words
        ("U.S.A.", "usa"),
        ("the", ""),
        ("24–10", "24–10"),  # only ASCII punctuation
    ],
)
def test_what_is_compared(given: str, wanted: str) -> None:
    assert normalised(given) == wanted


@pytest.mark.parametrize(
    ("found", "answers", "match", "f1"),
    [
        ("the Broncos", ["Broncos"], 1, 1),
        ("Denver Broncos", ["Broncos"], 0, 2 / 3),  # precision 1/2, recall 1
        ("Broncos", ["Carolina Panthers", "The Denver Broncos"], 0, 2 / 3),  # the nearer
        ("Broncos", ["Carolina Panthers", "Broncos"], 1, 1),
        ("to be or to", ["to be"], 0, 2 / 3),  # "to" counts once: 2 of 4 and 2 of 2
        ("Panthers", ["Broncos"], 0, 0),
        ("", ["Broncos"], 0, 0),
        ("the", ["a"], 1, 0),  # as in the official v1.1 script
    ],
)
def test_exact_match_and_f1(found: str, answers: list[str], match: float, f1: float) -> None:
    assert exact_match(found, answers) == match
    assert answer_f1(found, answers) == pytest.approx(f1)
