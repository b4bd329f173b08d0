"""A supernet of fewer tokens against the whole one."""

from __future__ import annotations

import pytest
import torch

from fleetfit import Head
from supernet.finetune_supernet import watched_members
from supernet.tasks import Encoded
from supernet.vocabulary import narrowed, placed, put_back, used_ids
from tests.supernet.tiny import relative, tiny_spaces, tiny_supernet

ROWS = Encoded(
    ids=[[2, 40, 7, 3], [2, 99, 3]], segments=[[0] * 4, [0, 1, 1]], targets=torch.tensor([0, 1])
)
USED = [0, 2, 3, 7, 40, 99]
HEAD = Head(kind="classification", pooling="mean", outputs=2)


def test_tokens_used_are_those_that_occur_and_padding() -> None:
    other = Encoded(ids=[[50]], segments=[[0]], targets=torch.tensor([0]))
    assert used_ids(ROWS) == USED
    assert used_ids(ROWS, other) == [0, 2, 3, 7, 40, 50, 99]


def test_rows_name_the_places_of_their_tokens() -> None:
    found = placed(ROWS, USED)
    assert found.ids == [[1, 4, 3, 2], [1, 5, 2]]
    assert (found.segments, found.targets) == (ROWS.segments, ROWS.targets)


@pytest.mark.parametrize("kind", sorted(tiny_spaces()))
@pytest.mark.parametrize("head", [HEAD, Head(kind="masked_lm")], ids=lambda h: h.kind)
def test_members_of_a_narrowed_supernet_compute_the_same(kind: str, head: Head) -> None:
    whole = tiny_supernet(kind).with_task(HEAD)
    narrow = narrowed(whole, USED)
    few = watched_members(narrow.space)
    for name, arch in watched_members(whole.space).items():
        assert few[name].embedding.vocab_size == len(USED)
        with torch.no_grad():
            wanted = whole(ROWS.batch([0, 1]), arch.with_head(head)).logits
            found = narrow(placed(ROWS, USED).batch([0, 1]), few[name].with_head(head)).logits
        assert wanted is not None
        assert found is not None
        assert relative(found, wanted[..., USED] if head.kind == "masked_lm" else wanted) < 1e-5


def test_what_was_trained_goes_back_and_the_rest_stays() -> None:
    whole = tiny_supernet().with_task(HEAD)
    before = {name: value.detach().clone() for name, value in whole.tensors().items()}
    narrow = narrowed(whole, USED)
    with torch.no_grad():
        for value in narrow.tensors().values():
            value += 1
    assert all(torch.equal(whole.tensors()[name], before[name]) for name in before)
    put_back(narrow, whole, USED)
    for name, value in whole.tensors().items():
        moved = torch.ones_like(value)
        if name in ("embedding.tokens", "head.bias"):
            moved[[i for i in range(100) if i not in USED]] = 0
        assert torch.equal(value, before[name] + moved), name
