"""An extracted network as a module: its weights, its modes, its reference outputs."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fleetfit import Head, InputError
from fleetfit.weights import weight_shapes
from supernet.forward import Encoder
from supernet.network import EncoderNetwork
from tests.conftest import build_tiny_source
from tests.supernet.tiny import (
    MEMBERS,
    arrays,
    batch,
    members,
    random_weights,
    relative,
    tiny_supernet,
    train,
)

HEADS = {
    "hidden": Head(),
    "logits": Head(kind="classification", pooling="mean", outputs=3),
    "embedding": Head(kind="embedding", pooling="mean"),
}


def network(head: Head | None = None, *, dropout: float = 0.0) -> EncoderNetwork:
    arch = build_tiny_source(head=head)
    return EncoderNetwork.of(arch, arrays(random_weights(arch)), dropout=dropout)


def test_weights_come_back_as_they_went_in() -> None:
    made = network()
    given = random_weights(made.arch)
    assert list(made.weights()) == list(weight_shapes(made.arch))
    assert all(np.array_equal(w, given[name].numpy()) for name, w in made.weights().items())


def test_weights_are_copies_on_both_sides() -> None:
    arch = build_tiny_source()
    given = arrays(random_weights(arch))
    made = EncoderNetwork.of(arch, given)
    given["embedding.tokens"][:] = 0
    made.weights()["embedding.segments"][:] = 0
    assert made.named_weights()["embedding.tokens"].abs().max() > 0
    assert made.named_weights()["embedding.segments"].abs().max() > 0


def test_the_forward_pass_is_the_encoders() -> None:
    made, inputs = network(), batch()
    wanted = Encoder(arch=made.arch, weights=random_weights(made.arch))(inputs).hidden
    got = made(inputs.input_ids, inputs.attention_mask, inputs.token_type_ids).hidden
    torch.testing.assert_close(got, wanted)


def test_dropout_works_in_training_mode_only() -> None:
    made, inputs = network(dropout=0.5), batch()
    given = (inputs.input_ids, inputs.attention_mask, inputs.token_type_ids)
    torch.manual_seed(0)
    made.train()
    assert not torch.equal(made(*given).hidden, made(*given).hidden)
    made.eval()
    assert torch.equal(made(*given).hidden, made(*given).hidden)


@pytest.mark.parametrize("name", HEADS)
def test_the_reference_is_the_output_by_its_name_in_onnx(name: str) -> None:
    made, inputs = network(HEADS[name], dropout=0.5), batch()
    made.train()
    given = {
        "input_ids": inputs.input_ids.numpy(),
        "attention_mask": inputs.attention_mask.numpy(),
        "token_type_ids": inputs.token_type_ids.numpy(),
    }
    reference = made.reference(given)
    assert made.training  # as it was
    wanted = Encoder(arch=made.arch, weights=random_weights(made.arch))(inputs)
    value = {"hidden": wanted.hidden, "logits": wanted.logits, "embedding": wanted.pooled}[name]
    assert value is not None
    assert list(reference) == [name]
    np.testing.assert_allclose(reference[name], value.numpy(), atol=1e-5)


def test_weights_of_another_architecture_are_refused() -> None:
    arch = build_tiny_source()
    wrong = arrays(random_weights(arch.with_head(Head(kind="masked_lm"))))
    with pytest.raises(InputError, match=r"'head\.bias' is unknown"):
        EncoderNetwork.of(arch, wrong)


@pytest.mark.parametrize(("kind", "name"), MEMBERS)
def test_scores_of_an_extracted_network_are_those_of_its_slice(kind: str, name: str) -> None:
    supernet = train(tiny_supernet(kind), steps=2)
    arch, inputs = members(supernet.space)[name], batch()
    given = (inputs.input_ids, inputs.attention_mask, inputs.token_type_ids)
    with torch.no_grad():
        sliced = supernet(inputs, arch, scores=True).scores
        extracted = EncoderNetwork.of(arch, supernet.extract(arch))(*given, scores=True).scores
    heads = [layer.sublayers[0].heads for layer in arch.layers]  # type: ignore[union-attr]
    assert [None if s is None else s.shape[1] for s in sliced] == heads
    for ours, theirs in zip(extracted, sliced, strict=True):
        assert ours is not None
        assert theirs is not None
        assert relative(ours, theirs) < 1e-5
