"""Two texts in one row."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fleetfit.pairs import cut_pair


@given(first=st.integers(0, 60), second=st.integers(0, 60), room=st.integers(0, 60))
def test_the_longer_loses_its_last_token_until_both_fit(first: int, second: int, room: int) -> None:
    """Against doing just that."""
    a, b = first, second
    while a + b > room:
        if a > b:
            a -= 1
        else:
            b -= 1
    assert cut_pair(first, second, room) == (a, b)
