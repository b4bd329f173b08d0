"""Evaluation: the named members, and what every measure of a text must keep."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from supernet.evaluate import HiddenStates, evaluate, named_members
from supernet.forward import Batch
from supernet.masked_lm import MaskedLm
from supernet.measure import Measure
from supernet.model import Supernet
from supernet.network import EncoderNetwork
from supernet.quality import HiddenLoss
from tests.supernet import tiny
from tests.supernet.spaces.spaces import ELASTIC, SPACES

Make = Callable[[Supernet, Sequence[Batch], int], Measure]
MEASURES: dict[str, Make] = {
    "hidden": lambda net, batches, size: HiddenStates(net, batches, batch_size=size),
    "masked_lm": lambda net, batches, size: MaskedLm(
        net, batches, special_ids=tiny.IDS, batch_size=size
    ),
}
BATCHES = [tiny.batch(rows=8, length=30), tiny.batch(rows=3, length=12)]


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


@pytest.mark.parametrize("make", MEASURES.values(), ids=MEASURES)
def test_a_measure_gives_the_figures_that_it_names_and_again(make: Make) -> None:
    supernet = tiny.tiny_supernet()
    arch = supernet.space.smallest()
    for precision in ("fp32", "bf16"):
        first, again = (make(supernet, BATCHES, 4)(arch, precision) for _ in range(2))
        assert first == again
        assert list(first) == [f.name for f in make(supernet, BATCHES, 4).figures]


@pytest.mark.parametrize("make", MEASURES.values(), ids=MEASURES)
def test_the_data_id_is_the_text_and_not_the_supernet_or_the_batch_size(make: Make) -> None:
    base = make(tiny.tiny_supernet(), BATCHES, 4).data_id
    assert make(tiny.tiny_supernet(seed=4), BATCHES, 2).data_id == base
    others = [BATCHES[:1], [tiny.batch(rows=8, length=30, seed=1), BATCHES[1]]]
    ids = {make(tiny.tiny_supernet(), batches, 4).data_id for batches in others}
    assert len(ids | {base}) == 3


def test_measures_and_seeds_have_ids_of_their_own() -> None:
    net = tiny.tiny_supernet()
    ids = [make(net, BATCHES, 4).data_id for make in MEASURES.values()]
    ids += [MaskedLm(net, BATCHES, special_ids=tiny.IDS, seed=1).data_id]
    ids += [MaskedLm(net, BATCHES, special_ids=tiny.IDS | {"[MASK]": 7}).data_id]
    for seed in (0, 1):
        largest = net.space.largest()
        teacher = EncoderNetwork.of(largest, tiny.tiny_supernet(seed=seed).extract(largest))
        ids += [HiddenStates(net, BATCHES, teacher=teacher).data_id]
    assert len(set(ids)) == len(ids)


def test_the_hidden_states_are_compared_as_by_the_loss() -> None:
    supernet, other = tiny.tiny_supernet(), tiny.tiny_supernet(seed=9)
    largest = supernet.space.largest()
    teacher = EncoderNetwork.of(largest, other.extract(largest))
    for given in (None, teacher):
        loss = HiddenLoss(supernet, BATCHES, teacher=given)
        ours = HiddenStates(supernet, BATCHES, teacher=given, batch_size=3)
        for arch in tiny.members(supernet.space).values():
            (wanted,) = loss([(arch, "fp32")])
            assert ours(arch, "fp32") == {"hidden_loss": pytest.approx(wanted, rel=1e-4, abs=1e-9)}


def test_the_source_does_not_run_before_it_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(*args: object) -> None:
        raise AssertionError("the source ran")

    monkeypatch.setattr(EncoderNetwork, "forward", run)
    supernet = tiny.tiny_supernet()
    lazy = HiddenStates(supernet, BATCHES)
    assert lazy.data_id
    with pytest.raises(AssertionError, match="ran"):
        lazy(supernet.space.largest(), "fp32")


def test_evaluation_is_what_the_measures_give_and_repeatable() -> None:
    supernet = tiny.tiny_supernet()
    chosen = named_members(supernet.space)
    first, again = (
        evaluate(tiny.hidden_quality(supernet), chosen, special_ids=tiny.IDS) for _ in range(2)
    )
    assert first == again
    assert [e.name for e in first] == list(chosen)
    assert first[0].hidden_loss < 1e-8
    masked_lm = MaskedLm(supernet, tiny.hidden_quality(supernet).batches, special_ids=tiny.IDS)
    assert masked_lm(first[-1].architecture, "fp32") == {
        "masked_lm_loss": first[-1].masked_lm_loss,
        "masked_lm_accuracy": first[-1].masked_lm_accuracy,
    }


def test_cuts_along_a_dimension_that_is_not_elastic_are_left_out() -> None:
    """Without heads and width: half the heads and narrow would be the largest."""
    choices = replace(tiny.CHOICES, heads=(4,), widths=(32,))
    whole, without = tiny.tiny_space(), replace(tiny.tiny_space(), choices=choices)
    names = set(named_members(whole)) - set(named_members(without))
    assert names == {"half-heads", "narrow"}
