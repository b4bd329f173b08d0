"""Where sub-layers get their weights: the prefix slices by hand, and the interface itself."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import Tensor

from fleetfit import Architecture, FeedForward, Head, InputError, SelfAttention
from supernet.model import Supernet
from supernet.network import EncoderNetwork
from supernet.spaces import AutoTinyBertSpace, SuperShaperSpace
from supernet.weight_source import (
    NarrowedHeads,
    PrefixSlices,
    WeightSource,
    get,
    put,
    slices_of,
)
from tests.conftest import build_tiny_source
from tests.supernet.spaces.spaces import SPACES
from tests.supernet.tiny import batch, random_weights, relative, tiny_space

SOURCE = build_tiny_source()


class Mixed(WeightSource):
    """Two banks of prefix slices, mixed by the share of the width that a layer keeps."""

    def __init__(self) -> None:
        super().__init__()
        self.first = PrefixSlices(SOURCE, random_weights(SOURCE, seed=1))
        self.second = PrefixSlices(SOURCE, random_weights(SOURCE, seed=2))

    def sublayer(self, arch: Architecture, layer: int, sub: int) -> dict[str, Tensor]:
        share = arch.layers[layer].width / 32
        first, second = (
            self.first.sublayer(arch, layer, sub),
            self.second.sublayer(arch, layer, sub),
        )
        return {part: share * first[part] + (1 - share) * second[part] for part in first}


def test_prefixes_by_hand() -> None:
    weights = random_weights(SOURCE)
    slices = PrefixSlices(SOURCE, weights)
    arch = tiny_space().build(32, [(24, 2, 32)] * 2)  # keeps layers 0 and 2
    attention = slices.sublayer(arch, 1, 0)
    for part in ("query", "key", "value"):
        assert torch.equal(
            attention[f"{part}.weight"], weights[f"layers.2.0.{part}.weight"][:16, :24]
        )
        assert torch.equal(attention[f"{part}.bias"], weights[f"layers.2.0.{part}.bias"][:16])
    assert torch.equal(attention["output.weight"], weights["layers.2.0.output.weight"][:24, :16])
    assert torch.equal(attention["output.bias"], weights["layers.2.0.output.bias"][:24])
    assert torch.equal(attention["norm.weight"], weights["layers.2.0.norm.weight"][:24])
    forward = slices.sublayer(arch, 0, 1)
    assert torch.equal(forward["linear.0.weight"], weights["layers.0.1.linear.0.weight"][:32, :24])
    assert torch.equal(forward["linear.0.bias"], weights["layers.0.1.linear.0.bias"][:32])
    assert torch.equal(forward["linear.1.weight"], weights["layers.0.1.linear.1.weight"][:24, :32])
    assert torch.equal(forward["linear.1.bias"], weights["layers.0.1.linear.1.bias"][:24])
    assert torch.equal(forward["norm.bias"], weights["layers.0.1.norm.bias"][:24])


def test_narrowed_heads_by_hand() -> None:
    weights = random_weights(SOURCE)
    slices = NarrowedHeads(SOURCE, weights)
    space = AutoTinyBertSpace.of(SOURCE, slicing="narrowed_heads")
    arch = space.build(2, (24, 4, 3, 32))  # keeps layers 0 and 2; 3 of the 8 dimensions of a head
    rows = [0, 1, 2, 8, 9, 10, 16, 17, 18, 24, 25, 26]
    attention = slices.sublayer(arch, 1, 0)
    for part in ("query", "key", "value"):
        weight, bias = (weights[f"layers.2.0.{part}.{kind}"] for kind in ("weight", "bias"))
        assert torch.equal(attention[f"{part}.weight"], weight[rows, :24])
        assert torch.equal(attention[f"{part}.bias"], bias[rows])
    output = weights["layers.2.0.output.weight"]
    assert torch.equal(attention["output.weight"], output[:24, rows])
    assert torch.equal(attention["output.bias"], weights["layers.2.0.output.bias"][:24])
    prefixes = PrefixSlices(SOURCE, weights)
    forward, wanted = (s.sublayer(arch, 1, 1) for s in (slices, prefixes))
    assert all(torch.equal(forward[part], wanted[part]) for part in wanted)
    whole = space.build(2, (24, 4, 8, 32))
    both = [s.sublayer(whole, 1, 0) for s in (slices, prefixes)]
    assert all(torch.equal(both[0][part], both[1][part]) for part in both[1])


def test_scores_of_narrowed_heads_come_from_the_same_heads() -> None:
    # Head i of the slice sees only the first dimensions of head i of the source.
    weights = random_weights(SOURCE)
    slices = NarrowedHeads(SOURCE, weights)
    arch = SuperShaperSpace.of(SOURCE).build([16, 16, 16])
    before = slices.sublayer(arch, 0, 0)["query.weight"].detach().clone()
    with torch.no_grad():
        get(slices, "layers.0.0.query.weight")[8:16] = 0  # head 1 of 4
    after = slices.sublayer(arch, 0, 0)["query.weight"]
    changed = (after != before).any(dim=1).unflatten(0, (4, 4)).any(dim=1)
    assert changed.tolist() == [False, True, False, False]


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("full", PrefixSlices),
        ("supershaper", NarrowedHeads),
        ("autotinybert_whole", PrefixSlices),
        ("autotinybert_narrowed", NarrowedHeads),
        ("autotinybert_one_member", PrefixSlices),
    ],
)
def test_a_space_says_how_it_is_sliced(name: str, wanted: type[WeightSource]) -> None:
    space = SPACES[name]
    assert type(slices_of(space, random_weights(space.source))) is wanted


def test_a_second_source_serves_slices_extraction_and_gradients() -> None:
    space = tiny_space()
    mixed = Mixed()
    weights = random_weights(space.source)
    supernet = Supernet(space, weights, sublayers=mixed)
    arch = space.build(16, [(16, 2, 32), (24, 4, 64)]).with_head(Head(kind="masked_lm"))
    inputs = batch()
    sliced = supernet(inputs, arch).hidden
    network = EncoderNetwork.of(arch, supernet.extract(arch))
    extracted = network(inputs.input_ids, inputs.attention_mask, inputs.token_type_ids).hidden
    assert relative(extracted, sliced) < 1e-5
    (sliced * torch.arange(24)).sum().backward()
    for bank in (mixed.first, mixed.second):
        grad = get(bank, "layers.0.0.query.weight").grad
        assert grad is not None
        assert grad[:16, :16].abs().min() > 0


def test_put_then_get() -> None:
    module = torch.nn.Module()
    put(module, "a.b.weight", torch.ones(2))
    assert get(module, "a.b.weight").tolist() == [1, 1]


@pytest.mark.parametrize(
    ("sub", "index"),
    [
        (SelfAttention(heads=8, head_dim=8), 0),
        (SelfAttention(heads=4, head_dim=4), 0),
        (FeedForward(widths=(32, 32)), 1),
        (SelfAttention(heads=4, head_dim=8), 1),
    ],
    ids=["more_heads", "narrower_heads", "stacked", "wrong_place"],
)
def test_what_no_prefix_gives_is_refused(sub: SelfAttention | FeedForward, index: int) -> None:
    slices = PrefixSlices(SOURCE, random_weights(SOURCE))
    subs = list(SOURCE.layers[0].sublayers)
    subs[index] = sub
    layer = dataclasses.replace(SOURCE.layers[0], sublayers=tuple(subs))
    arch = dataclasses.replace(SOURCE, layers=(layer,))
    with pytest.raises(InputError, match=r"Heads must be|Prefix slices must be|must be attention"):
        slices.sublayer(arch, 0, index)


@pytest.mark.parametrize(
    "sub",
    [
        SelfAttention(heads=2, head_dim=8),
        SelfAttention(heads=8, head_dim=4),
        SelfAttention(heads=4, head_dim=9),
    ],
    ids=["fewer", "more", "wider"],
)
def test_what_no_narrowing_gives_is_refused(sub: SelfAttention) -> None:
    slices = NarrowedHeads(SOURCE, random_weights(SOURCE))
    layer = dataclasses.replace(SOURCE.layers[0], sublayers=(sub, SOURCE.layers[0].sublayers[1]))
    arch = dataclasses.replace(SOURCE, layers=(layer,))
    with pytest.raises(InputError, match=r"Heads must be all those of .* or narrower"):
        slices.sublayer(arch, 0, 0)
