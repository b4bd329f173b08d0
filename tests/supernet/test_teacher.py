"""Which networks may teach, which of their layers stands for which, and the fitted map."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from fleetfit import InputError
from supernet.network import EncoderNetwork
from supernet.teacher import Teacher
from tests.conftest import build_tiny_source
from tests.supernet.spaces.spaces import source
from tests.supernet.tiny import batch, tiny_supernet


def test_the_source_itself_teaches_where_none_is_given() -> None:
    supernet = tiny_supernet()
    teacher = Teacher.of(supernet, None, fitted=False)
    wanted = supernet(batch(), supernet.space.largest())
    torch.testing.assert_close(teacher(batch()).hidden, wanted.hidden)
    assert teacher.fit == {}
    states = torch.randn(2, 3, 32)
    assert teacher.mapped(states) is states


def test_scores_come_where_asked() -> None:
    teacher = Teacher.of(tiny_supernet(), None, fitted=False)
    assert teacher(batch()).scores == ()
    scores = teacher(batch(), scores=True).scores
    assert [None if s is None else tuple(s.shape) for s in scores] == [(3, 4, 12, 12)] * 3


@pytest.mark.parametrize(
    ("depth", "wanted"), [(3, [0, 1, 2]), (6, [1, 3, 5]), (12, [3, 7, 11]), (2, [0, 1, 1])]
)
def test_layers_stand_for_those_at_the_same_share_of_the_depth(
    depth: int, wanted: list[int]
) -> None:
    teacher = Teacher(EncoderNetwork(source(depth=depth)), build_tiny_source(), fitted=True)
    assert [teacher.layer_of(i) for i in range(3)] == wanted


def test_a_fitted_map_goes_to_the_teachers_width_and_starts_at_zero() -> None:
    supernet = tiny_supernet()
    narrow = EncoderNetwork(supernet.space.smallest())
    teacher = Teacher.of(supernet, narrow, fitted=True)
    assert {name: tuple(t.shape) for name, t in teacher.fit.items()} == {
        "fit.weight": (16, 32),
        "fit.bias": (16,),
    }
    mapped = teacher.mapped(torch.randn(2, 3, 32))
    assert torch.equal(mapped, torch.zeros(2, 3, 16))
    assert mapped.requires_grad


def test_a_teacher_is_frozen_and_without_dropout() -> None:
    network = EncoderNetwork(build_tiny_source(), dropout=0.5)
    teacher = Teacher(network, build_tiny_source(), fitted=False)
    assert not any(p.requires_grad for p in network.parameters())
    assert torch.equal(teacher(batch()).hidden, teacher(batch()).hidden)


def test_a_teacher_of_another_vocabulary_is_refused() -> None:
    arch = build_tiny_source()
    other = dataclasses.replace(arch, embedding=dataclasses.replace(arch.embedding, vocab_size=90))
    with pytest.raises(InputError, match="vocabulary of 100 tokens, but has 90"):
        Teacher.of(tiny_supernet(), EncoderNetwork(other), fitted=True)


def test_a_fitted_teacher_must_be_given() -> None:
    with pytest.raises(InputError, match="A fitted teacher must be given"):
        Teacher.of(tiny_supernet(), None, fitted=True)


def test_a_teacher_of_other_sizes_must_be_fitted() -> None:
    supernet = tiny_supernet()
    with pytest.raises(InputError, match="sizes of the supernet's source"):
        Teacher.of(supernet, EncoderNetwork(supernet.space.smallest()), fitted=False)
