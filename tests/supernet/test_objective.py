"""The mix of losses of a member: each part against its function, and padding without effect."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import Tensor

from fleetfit import Architecture, Head, InputError
from supernet.forward import Batch, Encoder
from supernet.losses import LossWeights, hidden_loss, score_loss, variance_of
from supernet.masking import masked_lm_loss
from supernet.model import Supernet
from supernet.network import EncoderNetwork
from supernet.objective import Example, Lesson, Objective
from supernet.teacher import Teacher
from tests.supernet.spaces.spaces import source
from tests.supernet.tiny import IDS, arrays, batch, members, random_weights, tiny_supernet, train

MIXES = {
    "hidden": LossWeights(),
    "all hidden": LossWeights(hidden_layers="all"),
    "scores": LossWeights(hidden=0.0, scores=2.0),
    "all scores": LossWeights(hidden=0.0, scores=2.0, score_layers="all"),
    "masked_lm": LossWeights(hidden=0.0, masked_lm=1.0),
    "in_place": LossWeights(in_place=1.0),
    "everything": LossWeights(
        hidden_layers="all", scores=0.5, score_layers="all", masked_lm=0.3, in_place=0.7
    ),
}


@pytest.fixture(scope="module")
def supernet() -> Supernet:
    return train(tiny_supernet(), steps=2)


def other_teacher(supernet: Supernet) -> Teacher:
    """Another network of the source's sizes."""
    arch = supernet.space.largest()
    network = EncoderNetwork.of(arch, arrays(random_weights(arch, seed=9)))
    return Teacher(network, arch, fitted=False)


def example(*, extra: int = 0) -> Example:
    """Every third token is to be predicted; ``extra`` columns of padding with words in them."""
    inputs = batch()
    clean, mask = inputs.input_ids, inputs.attention_mask
    chosen = mask.bool() & (torch.arange(clean.shape[1]) % 3 == 1)
    corrupted = torch.where(chosen, IDS["[MASK]"], clean)

    def wider(values: Tensor, fill: int) -> Tensor:
        return torch.nn.functional.pad(values, (0, extra), value=fill)

    seen = Batch(
        input_ids=wider(corrupted, 50),
        attention_mask=wider(mask, 0),
        token_type_ids=wider(inputs.token_type_ids, 1),
    )
    return Example(batch=seen, clean=wider(clean, 60), chosen=wider(chosen, 0))


def objective_of(supernet: Supernet, teacher: Teacher, weights: LossWeights) -> Objective:
    return Objective(supernet, teacher, weights, sample=example().batch)


def lesson_of(objective: Objective, given: Example) -> Lesson:
    """The teacher's part and the largest member's."""
    lesson = objective.teach(given.batch)
    _, _, logits = objective(objective.supernet.space.largest(), given, lesson)
    return objective.told(lesson, given, logits)


def loss_of(objective: Objective, arch: Architecture, given: Example) -> float:
    with torch.no_grad():
        return float(objective(arch, given, lesson_of(objective, given))[0])


@pytest.mark.parametrize("name", MIXES)
def test_padding_changes_nothing(supernet: Supernet, name: str) -> None:
    objective = objective_of(supernet, other_teacher(supernet), MIXES[name])
    for arch in members(supernet.space).values():
        wanted = loss_of(objective, arch, example())
        assert loss_of(objective, arch, example(extra=5)) == pytest.approx(wanted, rel=1e-4)


def test_the_mix_is_the_weighted_sum_of_its_parts(supernet: Supernet) -> None:
    teacher, arch, given = other_teacher(supernet), supernet.space.smallest(), example()
    weights = LossWeights(hidden=0.2, scores=0.5, masked_lm=0.3, in_place=0.7)
    objective = objective_of(supernet, teacher, weights)
    assert given.chosen is not None
    masked_lm = Head(kind="masked_lm")
    with torch.no_grad():
        encoder = Encoder(arch=arch, weights=supernet.slice(arch))
        ours, theirs = encoder(given.batch, scores=True), teacher(given.batch, scores=True)
        logits = supernet(given.batch, arch.with_head(masked_lm)).logits[given.chosen]
        largest = supernet(given.batch, supernet.space.largest().with_head(masked_lm))
        readout = supernet.readout(arch, ours.hidden)
    mask = given.batch.attention_mask
    mine, target = ours.scores[-1], theirs.scores[-1]
    assert mine is not None
    assert target is not None
    wanted = 0.2 * hidden_loss(
        readout, theirs.hidden, mask, variance=variance_of(theirs.hidden, mask)
    )
    wanted += 0.5 * score_loss(mine, target, mask)
    wanted += 0.3 * masked_lm_loss(logits, given.clean[given.chosen])
    shares = largest.logits[given.chosen].softmax(dim=-1)
    wanted += 0.7 * torch.nn.functional.cross_entropy(logits, shares)
    assert loss_of(objective, arch, given) == pytest.approx(float(wanted), rel=1e-4)


def test_inner_layers_are_compared_with_those_they_come_from(supernet: Supernet) -> None:
    # two layers of full width: the source's first and last
    arch, teacher = members(supernet.space)["shallow"], other_teacher(supernet)
    objective = objective_of(supernet, teacher, LossWeights(hidden_layers="all"))
    given = example()
    mask = given.batch.attention_mask
    with torch.no_grad():
        ours, theirs = supernet(given.batch, arch), teacher(given.batch)
    wanted = 0.0
    for mine, target in ((1, 1), (2, 3)):
        states, other = ours.hidden_states[mine], theirs.hidden_states[target]
        variance = variance_of(other, mask)
        wanted += float(hidden_loss(states, other, mask, variance=variance)) / 2
    assert loss_of(objective, arch, given) == pytest.approx(wanted, rel=1e-4)


def test_without_training_the_largest_is_its_teacher_in_every_layer() -> None:
    supernet = tiny_supernet()
    weights = LossWeights(hidden_layers="all", scores=1.0, score_layers="all")
    objective = objective_of(supernet, Teacher.of(supernet, None, fitted=False), weights)
    assert loss_of(objective, supernet.space.largest(), example()) < 1e-6
    assert loss_of(objective, supernet.space.smallest(), example()) > 0.1


def test_the_largest_does_not_learn_from_itself(supernet: Supernet) -> None:
    objective = objective_of(supernet, other_teacher(supernet), LossWeights(in_place=5.0))
    without = objective_of(supernet, other_teacher(supernet), LossWeights())
    given, largest = example(), supernet.space.largest()
    with torch.no_grad():
        loss, _, _ = objective(largest, given, objective.teach(given.batch))
        wanted, _, _ = without(largest, given, without.teach(given.batch))
    assert torch.equal(loss, wanted)


def test_a_teacher_of_other_widths_is_met_through_its_map(supernet: Supernet) -> None:
    arch = supernet.space.smallest()
    network = EncoderNetwork.of(arch, arrays(random_weights(arch, seed=4)))
    teacher = Teacher.of(supernet, network, fitted=True)
    objective = objective_of(supernet, teacher, LossWeights(hidden_layers="all"))
    given = example()
    largest = supernet.space.largest()
    loss, _, _ = objective(largest, given, objective.teach(given.batch))
    loss.backward()
    assert teacher.fit["fit.weight"].grad is not None
    assert float(teacher.fit["fit.weight"].grad.abs().min()) > 0
    with torch.no_grad():  # what a least-squares fit leaves is less than at the start
        kept = given.batch.attention_mask.bool()
        states = supernet(given.batch, largest).hidden[kept]
        ones = torch.ones(len(states), 1)
        solution = torch.linalg.lstsq(
            torch.cat([states, ones], dim=1), teacher(given.batch).hidden[kept]
        ).solution
        teacher.fit["fit.weight"].copy_(solution[:-1].T)
        teacher.fit["fit.bias"].copy_(solution[-1])
    last = objective_of(supernet, teacher, LossWeights())
    assert loss_of(last, largest, given) < 0.5 < float(loss.detach())
    supernet.zero_grad()


@pytest.mark.parametrize("fitted", [True, False])
def test_the_head_learns_on_the_supernets_own_states_under_another_teacher(
    supernet: Supernet, fitted: bool
) -> None:
    network, given = EncoderNetwork(supernet.space.smallest()), example()
    fit = Teacher.of(supernet, network, fitted=True)
    teacher = fit if fitted else other_teacher(supernet)
    objective = objective_of(supernet, teacher, LossWeights())
    loss, _, _ = objective(None, given, None)
    headed = supernet.space.largest().with_head(Head(kind="masked_lm"))
    assert given.chosen is not None
    with torch.no_grad():
        logits = supernet(given.batch, headed).logits[given.chosen]
    wanted = masked_lm_loss(logits, given.clean[given.chosen])
    assert float(loss.detach()) == pytest.approx(float(wanted), rel=1e-5)


@pytest.mark.parametrize("name", ["hidden", "all hidden", "masked_lm", "everything"])
@pytest.mark.parametrize("count", [2, 3])
def test_the_mean_over_parts_is_the_loss_of_the_whole(
    supernet: Supernet, name: str, count: int
) -> None:
    """Whole against parts of other sizes, tokens and positions; scores need equal lengths."""
    weights = dataclasses.replace(MIXES[name], scores=0.0)
    objective = objective_of(supernet, other_teacher(supernet), weights)
    arch, given = supernet.space.smallest(), example(extra=2)
    parts = [loss_of(objective, arch, part) for part in given.parts(count)]
    assert sum(parts) / count == pytest.approx(loss_of(objective, arch, given), rel=1e-5)


def test_scores_of_a_teacher_with_other_heads_are_refused(supernet: Supernet) -> None:
    teacher = Teacher.of(supernet, EncoderNetwork(source(heads=2)), fitted=True)
    with pytest.raises(InputError, match=r"the source's heads in every layer, \[4\], but has \[2"):
        objective_of(supernet, teacher, LossWeights(scores=1.0))
    objective_of(supernet, teacher, LossWeights())
