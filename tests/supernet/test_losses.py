"""Each loss against a computation by hand, with padding and without, and the weights' limits."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from fleetfit import InputError
from supernet.losses import (
    LossWeights,
    answer_loss,
    answers_of,
    hidden_loss,
    score_loss,
    variance_of,
)
from supernet.masking import masked_lm_loss


def test_hidden_loss_by_hand() -> None:
    teacher = torch.tensor([[[0.0], [2.0]]])
    ours = torch.tensor([[[1.0], [2.0]]])
    mask = torch.ones(1, 2)
    # error (1 + 0) / 2
    assert float(hidden_loss(ours, teacher, mask, variance=1.0)) == pytest.approx(0.5)
    assert float(hidden_loss(ours, teacher, mask, variance=2.0)) == pytest.approx(0.25)


def test_the_mean_state_has_a_loss_of_one() -> None:
    teacher, mask = torch.randn(2, 5, 3, generator=torch.manual_seed(0)), torch.ones(2, 5)
    mean = teacher.mean(dim=(0, 1)).expand(2, 5, 3)
    loss = hidden_loss(mean, teacher, mask, variance=variance_of(teacher, mask))
    assert float(loss) == pytest.approx(1.0)


def test_hidden_loss_leaves_padding_out() -> None:
    teacher = torch.tensor([[[0.0], [2.0], [50.0]], [[7.0], [7.0], [7.0]]])
    ours = torch.tensor([[[1.0], [2.0], [-3.0]], [[1.0], [2.0], [float("nan")]]])
    mask = torch.tensor([[1, 1, 0], [0, 0, 0]])
    assert variance_of(teacher, mask) == pytest.approx(1.0)
    assert float(hidden_loss(ours, teacher, mask, variance=1.0)) == pytest.approx(0.5)


def test_score_loss_by_hand_compares_heads_that_are_kept_and_pairs_of_tokens() -> None:
    first = [[1.0, 2.0, 9.0], [3.0, 4.0, 9.0], [9.0, 9.0, 9.0]]
    teacher = torch.tensor([[first, [[100.0] * 3] * 3]])  # the second head is dropped
    ours = torch.zeros(1, 1, 3, 3)
    # (1 + 4 + 9 + 16) / 4 pairs
    assert float(score_loss(ours, teacher, torch.tensor([[1, 1, 0]]))) == pytest.approx(7.5)
    whole = float(score_loss(ours, teacher, torch.tensor([[1, 1, 1]])))
    assert whole == pytest.approx((1 + 4 + 9 + 16 + 5 * 81) / 9)


def test_score_loss_of_all_heads_is_their_mean() -> None:
    teacher = torch.tensor([1.0, 3.0])[None, :, None, None].expand(1, 2, 2, 2)
    loss = score_loss(torch.zeros(1, 2, 2, 2), teacher, torch.ones(1, 2))
    assert float(loss) == pytest.approx((1 + 9) / 2)


def soft(ours: torch.Tensor, teacher: torch.Tensor) -> torch.Tensor:
    """To the predictions of the largest alone."""
    targets = torch.zeros(len(teacher), dtype=torch.int64)
    return answer_loss(ours, answers_of(teacher, targets, masked_lm=0.0, in_place=1.0))


def test_the_loss_to_predictions_by_hand() -> None:
    third = math.log(3.0)  # probabilities 3/4 and 1/4 beside a zero
    teacher = torch.tensor([[third, 0.0], [0.0, 0.0]])
    ours = torch.tensor([[0.0, 0.0], [third, 0.0]])
    first = math.log(2)
    second = -0.5 * (math.log(0.75) + math.log(0.25))
    assert float(soft(ours, teacher)) == pytest.approx((first + second) / 2)


def test_the_loss_to_predictions_is_least_where_they_are_equal() -> None:
    teacher = torch.tensor([[0.3, -1.0, 2.0]])
    ours = (teacher + 5.0).requires_grad_()  # a shift of all logits changes nothing
    soft(ours, teacher).backward()
    assert ours.grad is not None
    assert float(ours.grad.abs().max()) < 1e-6


def test_answers_are_tokens_and_predictions_together() -> None:
    """Against the two losses apart, values and gradients."""
    draw = torch.manual_seed(0)
    teacher, targets = torch.randn(4, 7, generator=draw), torch.tensor([6, 0, 3, 3])
    apart = torch.randn(4, 7, generator=draw).requires_grad_()
    at_once = apart.detach().clone().requires_grad_()
    wanted = 0.3 * masked_lm_loss(apart, targets) + 0.7 * soft(apart, teacher)
    found = answer_loss(at_once, answers_of(teacher, targets, masked_lm=0.3, in_place=0.7))
    torch.testing.assert_close(found, wanted)
    wanted.backward()
    found.backward()
    torch.testing.assert_close(at_once.grad, apart.grad)


def test_the_loss_of_no_positions_is_zero() -> None:
    assert float(answer_loss(torch.zeros(0, 5), torch.zeros(0, 5))) == 0.0


@pytest.mark.parametrize(
    "change",
    [
        {"hidden": 0.0},
        {"hidden": 0.0, "in_place": 1.0},
        {"masked_lm": -1.0},
        {"scores": -1.0},
        {"in_place": -1.0},
        {"hidden": float("nan")},
        {"in_place": float("inf")},
    ],
    ids=str,
)
def test_weights_out_of_range_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="Loss weights must be >= 0 and finite"):
        LossWeights(**change)


def test_layers_that_are_no_choice_are_refused() -> None:
    with pytest.raises(InputError, match=r"LossWeights\.hidden_layers must be one of"):
        LossWeights(hidden_layers="first")  # type: ignore[arg-type]
