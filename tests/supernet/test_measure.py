"""The contract of every measure of a text; hidden states against their loss."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from supernet.forward import Batch
from supernet.hidden_states import HiddenStates
from supernet.masked_lm import MaskedLm
from supernet.measure import Measure
from supernet.model import Supernet
from supernet.network import EncoderNetwork
from supernet.quality import HiddenLoss
from tests.supernet import tiny

Make = Callable[[Supernet, Sequence[Batch], int], Measure]
MEASURES: dict[str, Make] = {
    "hidden": lambda net, batches, size: HiddenStates(net, batches, batch_size=size),
    "masked_lm": lambda net, batches, size: MaskedLm(
        net, batches, special_ids=tiny.IDS, batch_size=size
    ),
}
BATCHES = [tiny.batch(rows=8, length=30), tiny.batch(rows=3, length=12)]


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
