"""The order of batches, the rate and the best epoch, against values by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fleetfit import SurroundingsError
from supernet.epochs import Best, batches_of, check_finite, rise_and_fall


def test_every_text_is_in_one_batch_and_those_of_like_length_share_it() -> None:
    lengths = np.random.default_rng(0).integers(3, 60, 100).tolist()
    batches = list(batches_of(lengths, 4, np.random.default_rng(1)))
    assert sorted(row for batch in batches for row in batch) == list(range(100))
    assert len(batches) == 25
    spread = [np.ptp([lengths[r] for r in batch]) for batch in batches]
    assert np.mean(spread) < 8  # of 57; 34 at random


def test_the_order_is_drawn_anew() -> None:
    rng = np.random.default_rng(1)
    assert list(batches_of([3] * 40, 4, rng)) != list(batches_of([3] * 40, 4, rng))


def test_the_rate_rises_over_the_warmup_and_falls_to_nothing() -> None:
    shape = rise_and_fall(0.2, 10)
    assert [shape(step) for step in (0, 1, 2, 6, 9, 10)] == pytest.approx(
        [0.5, 1.0, 1.0, 0.5, 0.125, 0.0]
    )


def test_without_warmup_the_first_step_has_the_whole_rate() -> None:
    assert rise_and_fall(0.0, 5)(0) == 1.0


@pytest.mark.parametrize("norm", [math.nan, math.inf])
def test_a_norm_that_is_not_finite_is_refused(norm: float) -> None:
    check_finite(3.0, step=1, rate=0.1)
    with pytest.raises(SurroundingsError, match=r"step 17 at learning rate 0\.0005 .* lower rate"):
        check_finite(norm, step=17, rate=5e-4)


def test_of_two_equal_epochs_the_first_is_best() -> None:
    best = Best(kept="start")
    assert str(best) == "dev -"
    for epoch, score in enumerate([-0.2, 0.5, 0.5, math.nan, 0.4]):
        if best.improves(score):
            best.kept = f"epoch {epoch}"
    assert (best.kept, best.score, best.since) == ("epoch 1", 0.5, 3)
    assert str(best) == "dev 0.500"
