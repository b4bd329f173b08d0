from __future__ import annotations

import pytest

from devices import Disturbance
from devices.disturbance import graded
from fleetfit import InputError


@pytest.mark.parametrize(
    ("value", "word"),
    [(0.0, "ok"), (0.1, "may disturb"), (0.49, "may disturb"), (0.5, "disturbs"), (9, "disturbs")],
)
def test_grades(value: float, word: str) -> None:
    assert graded(value, 0.1, 0.5) == word


def test_another_word_is_refused() -> None:
    with pytest.raises(InputError, match="may disturb"):
        Disturbance(what="load", found="1", matters="bad")  # type: ignore[arg-type]
