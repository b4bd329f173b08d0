"""Windows of many documents, against windows cut by hand and by an obvious loop."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetfit import InputError
from supernet.packing import Packing
from supernet.text import TokenStream

SEP = -1
SIZES = st.lists(st.integers(1, 25), min_size=1, max_size=12)
BODIES = st.integers(1, 9)


def packing(sizes: list[int], body: int) -> Packing:
    return Packing(np.cumsum(sizes), body)


def windows(sizes: list[int], body: int) -> list[list[int]]:
    made = packing(sizes, body)
    return made.positions(np.arange(len(made))).tolist()


def cut(places: list[int], body: int) -> list[list[int]]:
    """From the beginning; the last piece ends where the places end."""
    starts = [min(i, len(places) - body) for i in range(0, len(places), body)]
    return [places[i : i + body] for i in starts]


def reference(sizes: list[int], body: int) -> list[list[int]]:
    """The obvious way: document after document, token after token."""
    ends = list(itertools.accumulate(sizes))
    documents = [list(range(end - size, end)) for size, end in zip(sizes, ends, strict=True)]
    long = [d for d in documents if len(d) >= body]
    pool: list[int] = []
    for document in documents:
        if len(document) < body:
            pool += ([SEP] if pool else []) + document
    found = [window for document in long for window in cut(document, body)]
    if len(pool) >= body:
        found += cut(pool, body)
    elif pool and long:
        found.append((pool + [SEP] + long[0])[:body])
    return found


def test_windows_by_hand() -> None:
    # documents 0-6, 7-8, 9-11, 12-15 and 16: the first and the fourth fill a window of 4
    assert windows([7, 2, 3, 4, 1], 4) == [
        [0, 1, 2, 3],
        [3, 4, 5, 6],
        [12, 13, 14, 15],
        [7, 8, SEP, 9],
        [10, 11, SEP, 16],
    ]


def test_a_lone_short_document_is_filled_up_from_a_long_one() -> None:
    assert windows([5, 2], 5) == [[0, 1, 2, 3, 4], [5, 6, SEP, 0, 1]]
    assert windows([2, 2], 6) == []  # nothing could fill it


@given(sizes=SIZES, body=BODIES)
def test_windows_are_those_of_the_obvious_loop(sizes: list[int], body: int) -> None:
    assert windows(sizes, body) == reference(sizes, body)


@given(sizes=SIZES, body=BODIES)
def test_every_token_is_in_a_full_window(sizes: list[int], body: int) -> None:
    found = windows(sizes, body)
    assert all(len(window) == body for window in found)
    covered = set(itertools.chain.from_iterable(found)) - {SEP}
    assert covered == (set(range(sum(sizes))) if found else set())
    assert bool(found) or sum(sizes) + len(sizes) - 1 < body


@given(sizes=SIZES, body=BODIES)
def test_no_window_goes_on_behind_a_long_document(sizes: list[int], body: int) -> None:
    owner = np.repeat(np.arange(len(sizes)), sizes)
    for window in windows(sizes, body):
        owners = [None if place == SEP else int(owner[place]) for place in window]
        for here, behind in itertools.pairwise(owners):
            assert here == behind or here is None or behind is None
            if here is not None and sizes[here] >= body:
                assert behind == here


@given(sizes=SIZES, body=BODIES, seed=st.integers(0, 99))
def test_rows_come_in_the_order_asked_for(sizes: list[int], body: int, seed: int) -> None:
    made, every = packing(sizes, body), windows(sizes, body)
    rows = np.random.default_rng(seed).integers(max(1, len(every)), size=5 * bool(every))
    assert made.positions(rows).tolist() == [every[row] for row in rows]


@pytest.mark.parametrize("row", [-1, 2])
def test_a_row_that_is_not_there_is_an_error(row: int) -> None:
    with pytest.raises(IndexError, match="within the 2 windows"):
        packing([7], 4).positions(np.array([row]))


def test_a_stream_of_documents_cuts_its_windows_so() -> None:
    tokens = np.arange(10, 16, dtype=np.uint16)
    stream = TokenStream(tokens=tokens, cls_id=2, sep_id=3, ends=np.array([3, 4, 6]))
    assert stream.windows(5) == 3
    wanted = [[2, 10, 11, 12, 3], [2, 13, 3, 14, 3], [2, 3, 14, 15, 3]]
    assert stream.batch([0, 1, 2], 5).tolist() == wanted
    assert stream.batch([0], 8).tolist() == [[2, 10, 11, 12, 3, 13, 3, 3]]


@pytest.mark.parametrize("ends", [[], [3], [3, 3, 6], [0, 6], [4, 2, 6], [7]])
def test_ends_rise_to_the_last_token(ends: list[int]) -> None:
    with pytest.raises(InputError, match="rise to the number of tokens, 6"):
        TokenStream(
            tokens=np.zeros(6, dtype=np.uint16),
            cls_id=2,
            sep_id=3,
            ends=np.array(ends, dtype=np.int64),
        )
