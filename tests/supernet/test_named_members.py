"""Members by name: in their space, and no two the same."""

from __future__ import annotations

from dataclasses import replace

import pytest

from supernet.named_members import named_members
from tests.supernet import tiny
from tests.supernet.spaces.spaces import ELASTIC, SPACES


@pytest.mark.parametrize("name", SPACES)
def test_the_named_members_are_in_the_space(name: str) -> None:
    space = SPACES[name]
    found = named_members(space)
    assert len(found) <= (7 if name in ELASTIC else 3)
    cuts = [arch.id for key, arch in found.items() if key != "smallest"]
    assert len(set(cuts)) == len(cuts)
    assert all(space.contains(arch) for arch in found.values())
    assert found["largest"] == space.largest()
    assert found["smallest"] == space.smallest()


def test_cuts_along_a_dimension_that_is_not_elastic_are_left_out() -> None:
    """Without heads and width: half the heads and narrow would be the largest."""
    choices = replace(tiny.CHOICES, heads=(4,), widths=(32,))
    whole, without = tiny.tiny_space(), replace(tiny.tiny_space(), choices=choices)
    names = set(named_members(whole)) - set(named_members(without))
    assert names == {"half-heads", "narrow"}
