"""The supernet's contracts: extracted equals sliced, before training and after it."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import torch

from fleetfit import Architecture, Head, InputError, LayerTable, parameters
from fleetfit.weights import weight_shapes
from supernet.forward import Encoder
from supernet.model import Supernet, tensor_shapes
from supernet.network import EncoderNetwork
from supernet.spaces import SuperShaperSpace
from tests.supernet.tiny import (
    MEMBERS,
    batch,
    members,
    random_weights,
    relative,
    tiny_space,
    tiny_spaces,
    tiny_supernet,
    train,
)

MASKED_LM = Head(kind="masked_lm")
TASKS = (
    Head(kind="classification", pooling="mean", outputs=3),
    Head(kind="classification", pooling="first", outputs=3),
    Head(kind="span", outputs=2),
)
"""Every kind of head that has weights of its own."""
KINDS = sorted(tiny_spaces())


@functools.cache
def trained_supernet(kind: str) -> Supernet:
    return train(tiny_supernet(kind))


@pytest.fixture(scope="module")
def trained() -> Supernet:
    return trained_supernet("elastic")


def task_supernet(kind: str, head: Head, *, trained: bool) -> Supernet:
    """With every number of the head different from 0."""
    body = trained_supernet(kind) if trained else tiny_supernet(kind)
    supernet = body.with_task(head, seed=4)
    with torch.no_grad():
        supernet.tensors()["task.bias"].copy_(torch.linspace(-1, 1, head.outputs))
    return supernet


def check_extraction(supernet: Supernet, arch: Architecture, head: Head = MASKED_LM) -> None:
    """Hidden states of every place and logits, sliced against extracted."""
    headed = arch.with_head(head)
    inputs = batch()
    with torch.no_grad():
        sliced = supernet(inputs, headed)
        network = EncoderNetwork.of(headed, supernet.extract(headed))
        extracted = network(inputs.input_ids, inputs.attention_mask, inputs.token_type_ids)
    assert len(sliced.hidden_states) == len(arch.layers) + 1
    for ours, theirs in zip(extracted.hidden_states, sliced.hidden_states, strict=True):
        assert relative(ours, theirs) < 1e-5
    assert extracted.logits is not None
    assert sliced.logits is not None
    assert relative(extracted.logits, sliced.logits) < 1e-5


@pytest.mark.parametrize(("kind", "name"), MEMBERS)
def test_extracted_equals_sliced_before_training(kind: str, name: str) -> None:
    supernet = tiny_supernet(kind)
    check_extraction(supernet, members(supernet.space)[name])


@pytest.mark.parametrize(("kind", "name"), MEMBERS)
def test_extracted_equals_sliced_after_training(kind: str, name: str) -> None:
    supernet = trained_supernet(kind)
    check_extraction(supernet, members(supernet.space)[name])


@pytest.mark.parametrize("kind", KINDS)
def test_random_members_extract_to_their_slices(kind: str) -> None:
    supernet, rng = trained_supernet(kind), np.random.default_rng(5)
    for _ in range(20):
        check_extraction(supernet, supernet.space.sample(rng))


@pytest.mark.parametrize("trained", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("head", TASKS, ids=lambda h: f"{h.kind}-{h.pooling}")
@pytest.mark.parametrize("kind", KINDS)
def test_task_heads_extract_to_their_slices(kind: str, head: Head, trained: bool) -> None:
    supernet = task_supernet(kind, head, trained=trained)
    for arch in members(supernet.space).values():
        check_extraction(supernet, arch, head)


@pytest.mark.parametrize("head", TASKS, ids=lambda h: f"{h.kind}-{h.pooling}")
@pytest.mark.parametrize(("kind", "name"), MEMBERS)
def test_a_task_head_reads_the_stream_at_the_width_of_the_source(
    kind: str, name: str, head: Head
) -> None:
    # By hand, pooling after the readout: both are linear. The hidden states are the body's own.
    supernet = task_supernet(kind, head, trained=True)
    arch, inputs = members(supernet.space)[name], batch()
    with torch.no_grad():
        states = supernet.readout(arch, supernet(inputs, arch).hidden)
        ours = supernet(inputs, arch.with_head(head)).logits
    if head.pooling == "mean":
        states = torch.stack(
            [x[: int(n)].mean(0) for x, n in zip(states, inputs.attention_mask.sum(1), strict=True)]
        )
    elif head.pooling == "first":
        states = states[:, 0]
    named = {n: t.detach() for n, t in supernet.tensors().items()}
    wanted = states @ named["task.weight"].T + named["task.bias"]
    assert ours is not None
    assert relative(ours, wanted) < 1e-5


@pytest.mark.parametrize("kind", KINDS)
def test_the_head_of_the_largest_member_is_the_one_stored(kind: str) -> None:
    supernet = task_supernet(kind, TASKS[0], trained=True)
    found = supernet.extract(supernet.space.largest().with_head(TASKS[0]))
    named = supernet.tensors()
    for part in ("weight", "bias"):
        assert np.array_equal(found[f"head.output.{part}"], named[f"task.{part}"].detach().numpy())


def test_a_task_head_is_drawn_by_its_seed_beside_a_body_as_it_was() -> None:
    before = tiny_supernet()
    first, again, other = (before.with_task(TASKS[0], seed=seed).tensors() for seed in (1, 1, 2))
    assert torch.equal(first["task.weight"], again["task.weight"])
    assert not torch.equal(first["task.weight"], other["task.weight"])
    assert not first["task.bias"].any()
    assert before.task is None
    body = before.tensors()
    assert first.keys() - body.keys() == {"task.weight", "task.bias"}
    assert all(torch.equal(first[name], value) for name, value in body.items())


def test_a_new_task_takes_the_place_of_the_one_before() -> None:
    supernet = tiny_supernet().with_task(TASKS[0]).with_task(TASKS[2])
    assert supernet.task == TASKS[2]
    assert supernet.tensors()["task.weight"].shape == (2, 32)


@pytest.mark.parametrize("kind", ["elastic", "supershaper"])
def test_training_moves_the_projections(kind: str) -> None:
    # else "after training" above would test nothing new
    tensors = trained_supernet(kind).tensors()
    for name in ("in.0.weight", "out.0", "out.3"):
        assert not torch.equal(tensors[name], torch.eye(32)), name


@pytest.mark.parametrize("kind", KINDS)
def test_the_largest_member_is_the_source(kind: str) -> None:
    space = tiny_spaces()[kind]
    headed = space.source.with_head(MASKED_LM)
    weights = random_weights(headed)
    supernet = Supernet(space, weights)
    largest = space.largest().with_head(MASKED_LM)
    ours = supernet(batch(), largest)
    theirs = Encoder(arch=headed, weights=weights)(batch())
    assert ours.logits is not None
    assert theirs.logits is not None
    for a, b in zip(ours.hidden_states, theirs.hidden_states, strict=True):
        assert relative(a, b) < 1e-5
    assert relative(ours.logits, theirs.logits) < 1e-5


def test_projections_between_equal_widths_are_trained_and_folded() -> None:
    supernet = trained_supernet("supershaper")
    space = SuperShaperSpace.of(tiny_space().source)
    named = {name: value.detach().double() for name, value in supernet.tensors().items()}
    for width in (16, 32):
        found = supernet.extract(space.build([width] * 3))
        for layer in (1, 2):
            wanted = named[f"in.{layer}.weight"][:width] @ named[f"out.{layer}"][:, :width]
            weight = found[f"layers.{layer}.projection.weight"]
            assert np.array_equal(weight, wanted.float().numpy())
            assert not np.array_equal(weight, np.eye(width, dtype=np.float32))


def test_after_training_the_largest_member_is_a_source_like_any_other(trained: Supernet) -> None:
    headed = trained.space.source.with_head(MASKED_LM)
    weights = {n: torch.from_numpy(w) for n, w in trained.extract(headed).items()}
    again = Supernet(trained.space, weights)
    assert relative(again(batch(), headed).hidden, trained(batch(), headed).hidden) < 1e-5


def test_the_weights_handed_in_stay_as_they_are() -> None:
    space = tiny_space()
    weights = random_weights(space.source.with_head(MASKED_LM))
    before = {name: value.clone() for name, value in weights.items()}
    train(Supernet(space, weights), steps=1)
    assert all(torch.equal(weights[name], before[name]) for name in before)


def test_a_fresh_head_predicts_from_the_tied_embeddings() -> None:
    # identity transform: logits = norm(gelu(hidden)) @ tokens.T
    space = tiny_space()
    supernet = Supernet(space, random_weights(space.source))
    output = supernet(batch(), space.source.with_head(MASKED_LM))
    inner = torch.nn.functional.gelu(output.hidden)
    normed = torch.nn.functional.layer_norm(inner, (32,), eps=1e-12)
    wanted = normed @ supernet.tensors()["embedding.tokens"].T
    assert output.logits is not None
    torch.testing.assert_close(output.logits, wanted)


@pytest.mark.parametrize(("kind", "name"), MEMBERS)
@pytest.mark.parametrize("head", [Head(), MASKED_LM], ids=lambda h: h.kind)
def test_extracted_parameter_count_is_the_one_counted(kind: str, name: str, head: Head) -> None:
    supernet = tiny_supernet(kind)
    arch = members(supernet.space)[name].with_head(head)
    network = EncoderNetwork.of(arch, supernet.extract(arch))
    count = sum(p.numel() for p in network.parameters())
    assert count == int(parameters(LayerTable.of([arch]))[0])


@pytest.mark.parametrize(("kind", "name"), MEMBERS)
def test_names_and_shapes_of_a_slice_are_those_of_its_architecture(kind: str, name: str) -> None:
    supernet = tiny_supernet(kind)
    arch = members(supernet.space)[name].with_head(MASKED_LM)
    shapes = {n: tuple(value.shape) for n, value in supernet.slice(arch).items()}
    assert shapes == weight_shapes(arch)


def test_gradients_reach_the_full_weights_where_the_slice_lies() -> None:
    supernet = train(tiny_supernet())  # identity factors leave the last 8 of 24 at zero
    supernet.zero_grad()
    arch = tiny_space().build(16, [(24, 2, 32)] * 2)  # keeps the first and the last layer
    hidden = supernet(batch(), arch.with_head(MASKED_LM)).hidden
    (hidden * torch.arange(24)).sum().backward()
    gradient = {n: p.grad for n, p in supernet.tensors().items() if p.grad is not None}
    query = gradient["layers.0.0.query.weight"]
    assert query.shape == (32, 32)
    assert query[:16, :24].abs().min() > 0  # two heads of 8, width 24
    assert query[16:].abs().max() == 0
    assert query[:, 24:].abs().max() == 0
    assert gradient["in.0.weight"][:24].abs().max() > 0
    assert gradient["out.0"][:, :16].abs().max() > 0
    assert gradient["embedding.tokens"][:, 16:].abs().max() == 0
    assert not any(name.startswith("layers.1.") for name in gradient)


def test_a_readout_is_the_hidden_state_itself_at_full_width() -> None:
    supernet = tiny_supernet()
    hidden = torch.randn(1, 2, 32)
    assert supernet.readout(supernet.space.largest(), hidden) is hidden


def test_an_untrained_readout_fills_up_with_zeros() -> None:
    # the factors start as identity
    supernet = tiny_supernet()
    hidden = torch.randn(1, 2, 16)
    wide = supernet.readout(supernet.space.smallest(), hidden)
    assert torch.equal(wide, torch.nn.functional.pad(hidden, (0, 16)))


def test_another_head_is_refused() -> None:
    supernet = tiny_supernet()
    arch = supernet.space.largest().with_head(Head(kind="span", outputs=2))
    with pytest.raises(InputError, match="none or masked_lm, but got 'span'"):
        supernet.slice(arch)


@pytest.mark.parametrize(
    ("head", "named"),
    [
        (TASKS[1], "classification with 3 outputs, first pooling"),
        (Head(kind="classification", pooling="mean", outputs=4), "classification with 4 outputs"),
        (TASKS[2], "span with 2 outputs"),
        (Head(kind="embedding", pooling="mean"), "embedding"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_head_of_another_task_is_refused(head: Head, named: str) -> None:
    supernet = tiny_supernet().with_task(TASKS[0])
    arch = supernet.space.largest().with_head(head)
    with pytest.raises(InputError, match=f"with 3 outputs, mean pooling, but got {named}"):
        supernet.slice(arch)


@pytest.mark.parametrize("head", [Head(), MASKED_LM, Head(kind="embedding", pooling="mean")])
def test_a_task_has_a_head_with_weights(head: Head) -> None:
    with pytest.raises(InputError, match="must be classification or span"):
        tiny_supernet().with_task(head)


def test_an_architecture_outside_the_space_is_refused() -> None:
    supernet = tiny_supernet()
    with pytest.raises(InputError, match="must be in the space"):
        supernet.extract(tiny_space().build(32, [(32, 3, 64)] * 3))


def test_extraction_copies() -> None:
    supernet = tiny_supernet()
    before = supernet.tensors()["head.bias"].detach().clone()
    arch = supernet.space.largest().with_head(MASKED_LM)
    for value in supernet.extract(arch).values():
        assert value.dtype == np.float32
        assert value.flags.c_contiguous
        value[:] = 0
    assert torch.equal(supernet.tensors()["head.bias"], before)


@pytest.mark.parametrize("kind", KINDS)
def test_the_shapes_on_disk_are_those_of_the_parameters(kind: str) -> None:
    supernet = tiny_supernet(kind)
    shapes = {name: tuple(value.shape) for name, value in supernet.tensors().items()}
    assert tensor_shapes(supernet.space.source) == shapes
    headed = supernet.with_task(TASKS[0]).tensors()
    shapes |= {name: tuple(headed[name].shape) for name in ("task.weight", "task.bias")}
    assert tensor_shapes(supernet.space.source, TASKS[0]) == shapes


def test_extraction_folds_in_float64(trained: Supernet) -> None:
    arch = members(trained.space)["growing"].with_head(MASKED_LM)
    named = {name: value.detach().double() for name, value in trained.tensors().items()}
    wanted = named["in.2.weight"][:32] @ named["out.1"][:, :16]
    found = trained.extract(arch)["layers.1.projection.weight"]
    assert np.array_equal(found, wanted.float().numpy())
