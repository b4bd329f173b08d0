"""The forward pass against transformers' BERT and against itself under padding and in parts."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from fleetfit import Head, InputError, LinearTransform, SelfAttention
from supernet.convert import read_source
from supernet.forward import Batch, Encoder, pool
from tests.conftest import build_tiny_source
from tests.supernet.tiny import batch, random_weights, relative, write_bert

ARCH = build_tiny_source()


@pytest.mark.parametrize("activation", ["gelu", "gelu_new", "relu"])
def test_hidden_states_equal_transformers_with_padding_and_segments(
    tmp_path: Path, activation: str
) -> None:
    bert = write_bert(tmp_path / "bert", hidden_act=activation)
    source = read_source(tmp_path / "bert")
    inputs = batch()
    with torch.no_grad():
        ours = Encoder(arch=source.architecture, weights=source.weights)(inputs)
        theirs = bert(
            inputs.input_ids,
            attention_mask=inputs.attention_mask,
            token_type_ids=inputs.token_type_ids,
            output_hidden_states=True,
        ).hidden_states
    kept = inputs.attention_mask.bool()
    assert len(ours.hidden_states) == len(theirs) == 4
    for a, b in zip(ours.hidden_states, theirs, strict=True):
        assert relative(a[kept], b[kept]) < 1e-5


@pytest.mark.parametrize(
    "head",
    [
        Head(),
        Head(kind="masked_lm"),
        Head(kind="span", outputs=2),
        Head(kind="classification", pooling="mean", outputs=3),
        Head(kind="embedding", pooling="mean"),
        Head(kind="embedding", pooling="first"),
    ],
    ids=lambda h: f"{h.kind}-{h.pooling}",
)
def test_padding_changes_nothing(head: Head) -> None:
    arch = ARCH.with_head(head)
    encoder = Encoder(arch=arch, weights=random_weights(arch))
    inputs = batch(rows=3)
    together = encoder(inputs)
    for row in range(3):
        n = int(inputs.attention_mask[row].sum())
        alone = encoder(
            Batch(
                input_ids=inputs.input_ids[row : row + 1, :n],
                attention_mask=inputs.attention_mask[row : row + 1, :n],
                token_type_ids=inputs.token_type_ids[row : row + 1, :n],
            )
        )
        assert relative(together.hidden[row : row + 1, :n], alone.hidden) < 1e-5
        for ours, theirs in ((together.pooled, alone.pooled), (together.logits, alone.logits)):
            assert (ours is None) == (theirs is None)
            if ours is not None and theirs is not None:
                cut = ours[row : row + 1, :n] if ours.ndim == 3 else ours[row : row + 1]
                assert relative(cut, theirs) < 1e-5


def test_attention_with_gradients_equals_the_fused_kernel() -> None:
    weights = random_weights(ARCH)
    with_gradients = {name: value.clone().requires_grad_() for name, value in weights.items()}
    inputs = batch()
    fused = Encoder(arch=ARCH, weights=weights)(inputs).hidden
    written_out = Encoder(arch=ARCH, weights=with_gradients)(inputs).hidden
    assert written_out.requires_grad
    assert relative(written_out, fused) < 1e-5


def test_scores_equal_transformers_after_mask_and_softmax(tmp_path: Path) -> None:
    bert = write_bert(tmp_path / "bert", attn_implementation="eager")
    source = read_source(tmp_path / "bert")
    inputs = batch()
    with torch.no_grad():
        ours = Encoder(arch=source.architecture, weights=source.weights)(inputs, scores=True)
        theirs = bert(
            inputs.input_ids,
            attention_mask=inputs.attention_mask,
            token_type_ids=inputs.token_type_ids,
            output_attentions=True,
        ).attentions
    kept = inputs.attention_mask.bool()
    assert len(ours.scores) == len(theirs) == 3
    for scores, wanted in zip(ours.scores, theirs, strict=True):
        assert scores is not None
        assert scores.shape == (3, 4, 12, 12)
        assert bool(scores.isfinite().all())
        shares = scores.masked_fill(~kept[:, None, None, :], float("-inf")).softmax(dim=-1)
        rows = kept[:, None, :].expand(shares.shape[:3])
        assert relative(shares[rows], wanted[rows]) < 1e-5


@pytest.mark.parametrize("gradients", [False, True])
def test_asking_for_scores_changes_no_state(gradients: bool) -> None:
    weights = {n: w.requires_grad_(gradients) for n, w in random_weights(ARCH).items()}
    encoder = Encoder(arch=ARCH, weights=weights)
    asked, plain = encoder(batch(), scores=True), encoder(batch())
    assert plain.scores == ()
    assert len(asked.scores) == len(asked.hidden_states) - 1
    for ours, theirs in zip(asked.hidden_states, plain.hidden_states, strict=True):
        assert relative(ours, theirs) < (1e-7 if gradients else 1e-5)


def test_scores_are_computed_only_where_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    fused = torch.nn.functional.scaled_dot_product_attention

    def counted(*args: object, **kwargs: object) -> torch.Tensor:
        calls.append(1)
        return fused(*args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr("torch.nn.functional.scaled_dot_product_attention", counted)
    encoder = Encoder(arch=ARCH, weights=random_weights(ARCH))
    encoder(batch(), scores=True)
    assert len(calls) == 0
    encoder(batch())
    assert len(calls) == 3


def test_segment_ids_are_respected() -> None:
    encoder = Encoder(arch=ARCH, weights=random_weights(ARCH))
    inputs = batch()
    zeros = torch.zeros_like(inputs.token_type_ids)
    without = dataclasses.replace(inputs, token_type_ids=zeros)
    assert relative(encoder(without).hidden, encoder(inputs).hidden) > 1e-2


@pytest.mark.parametrize("cut", [0, 1, 2, 3])
def test_layers_in_two_parts_equal_all_at_once(cut: int) -> None:
    encoder = Encoder(arch=ARCH, weights=random_weights(ARCH))
    inputs = batch()
    embedded = encoder.embed(inputs)
    first = encoder.layers(embedded, inputs.attention_mask, range(cut))
    state = first[-1] if first else embedded
    second = encoder.layers(state, inputs.attention_mask, range(cut, 3))
    whole = encoder.layers(embedded, inputs.attention_mask)
    assert all(torch.equal(a, b) for a, b in zip([*first, *second], whole, strict=True))


def test_dropout_changes_states_and_none_does_not() -> None:
    weights = random_weights(ARCH)
    still = Encoder(arch=ARCH, weights=weights)
    torch.manual_seed(0)
    assert torch.equal(still(batch()).hidden, still(batch()).hidden)
    noisy = Encoder(arch=ARCH, weights=weights, dropout=0.5)
    assert not torch.equal(noisy(batch()).hidden, noisy(batch()).hidden)


def test_pool_by_hand() -> None:
    hidden = torch.tensor([[[1.0, 2.0], [3.0, 6.0], [100.0, 100.0]]])
    mask = torch.tensor([[1, 1, 0]])
    assert pool(hidden, mask, "mean").tolist() == [[2.0, 4.0]]
    assert pool(hidden, mask, "first").tolist() == [[1.0, 2.0]]


def test_an_embedding_has_length_one() -> None:
    arch = ARCH.with_head(Head(kind="embedding", pooling="mean"))
    pooled = Encoder(arch=arch, weights=random_weights(arch))(batch()).pooled
    assert pooled is not None
    torch.testing.assert_close(pooled.norm(dim=-1), torch.ones(3))


def test_a_batch_without_mask_is_all_tokens_in_segment_zero() -> None:
    made = Batch.of(torch.tensor([[1, 2]]))
    assert made.attention_mask.tolist() == [[1, 1]]
    assert made.token_type_ids.tolist() == [[0, 0]]


def test_longer_than_the_positions_is_refused() -> None:
    encoder = Encoder(arch=ARCH, weights=random_weights(ARCH))
    with pytest.raises(InputError, match="at most 40 tokens, but got 41"):
        encoder(Batch.of(torch.ones(1, 41, dtype=torch.int64)))


def test_other_attention_scores_are_refused() -> None:
    layer = ARCH.layers[0]
    attention = SelfAttention(heads=4, head_dim=8, score="wma")
    odd = dataclasses.replace(layer, sublayers=(attention, layer.sublayers[1]))
    arch = dataclasses.replace(ARCH, layers=(odd, *ARCH.layers[1:]))
    with pytest.raises(InputError, match="'wma'"):
        Encoder(arch=arch, weights=random_weights(ARCH))(batch())


def test_other_sub_layers_are_refused() -> None:
    fourier = LinearTransform(kind="dft", heads=1, head_dim=1)
    odd = dataclasses.replace(ARCH.layers[0], sublayers=(fourier,))
    arch = dataclasses.replace(ARCH, layers=(odd,))
    with pytest.raises(InputError, match="LinearTransform"):
        Encoder(arch=arch, weights=random_weights(ARCH))(batch())
