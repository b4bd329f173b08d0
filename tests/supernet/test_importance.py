"""Reordering by importance leaves the function alone and puts what matters first."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch

from fleetfit import Head
from supernet.forward import Batch, Encoder
from supernet.importance import permute, stream_order
from tests.conftest import build_tiny_source
from tests.supernet.tiny import batch, random_weights, relative, tiny_supernet, train

ARCH = build_tiny_source(head=Head(kind="masked_lm"))


def calibration() -> list[Batch]:
    return [Batch.of(batch(seed=s).input_ids) for s in (7, 8)]


def source_weights(when: str) -> dict[str, torch.Tensor]:
    if when == "before":
        return random_weights(ARCH)
    extracted = train(tiny_supernet()).extract(ARCH)
    return {name: torch.from_numpy(value) for name, value in extracted.items()}


@pytest.mark.parametrize("when", ["before", "after"])
def test_permuted_equals_original_under_the_order(when: str) -> None:
    weights = source_weights(when)
    moved, order = permute(ARCH, weights, calibration())
    inputs = batch()
    old = Encoder(arch=ARCH, weights=weights)(inputs)
    new = Encoder(arch=ARCH, weights=moved)(inputs)
    assert sorted(order.tolist()) == list(range(32))
    assert order.tolist() != list(range(32))
    for ours, theirs in zip(new.hidden_states, old.hidden_states, strict=True):
        assert relative(ours, theirs[..., order]) < 1e-5
    assert new.logits is not None
    assert old.logits is not None
    assert relative(new.logits, old.logits) < 1e-5


def test_the_order_is_by_deviation_over_all_places() -> None:
    weights = random_weights(ARCH)
    order = stream_order(ARCH, weights, calibration())
    encoder = Encoder(arch=ARCH, weights=weights)
    spread = torch.zeros(32)
    for inputs in calibration():
        for state in encoder(inputs).hidden_states:
            spread += state.reshape(-1, 32).std(dim=0)
    assert (spread[order].diff() <= 0).all()


def test_a_head_that_adds_nothing_comes_last() -> None:
    weights = random_weights(ARCH)
    weights["layers.1.0.output.weight"][:, 8:16] = 0  # head 1 of 4
    moved, order = permute(ARCH, weights, calibration())
    last = moved["layers.1.0.output.weight"][:, 24:]
    assert last.abs().max() == 0
    kept = weights["layers.1.0.value.bias"][8:16]
    assert torch.equal(moved["layers.1.0.value.bias"][24:], kept)
    assert len(order) == 32


def test_an_ffn_unit_that_adds_nothing_comes_last() -> None:
    weights = random_weights(ARCH)
    weights["layers.2.1.linear.1.weight"][:, 5] = 0
    moved, _ = permute(ARCH, weights, calibration())
    assert moved["layers.2.1.linear.1.weight"][:, -1].abs().max() == 0
    assert moved["layers.2.1.linear.0.bias"][-1] == weights["layers.2.1.linear.0.bias"][5]


def test_units_are_judged_under_the_activation_of_the_network() -> None:
    # under relu a unit that is always negative adds nothing
    arch = dataclasses.replace(ARCH, activation="relu")
    weights = random_weights(arch)
    weights["layers.0.1.linear.0.weight"][3] = 0
    weights["layers.0.1.linear.0.bias"][3] = -0.5  # gelu gives -0.15, relu 0
    weights["layers.0.1.linear.1.weight"][:, 3] = 100
    moved, _ = permute(arch, weights, calibration())
    place = moved["layers.0.1.linear.0.bias"].tolist().index(-0.5)
    assert place > 32  # gelu would put it first of 64


@pytest.mark.parametrize("layer", [0, 1, 2])
def test_scores_are_taken_where_the_sublayer_stands(layer: int) -> None:
    weights = random_weights(ARCH)
    encoder = Encoder(arch=ARCH, weights=weights)
    attention, _ = ARCH.layers[layer].sublayers
    name, total = f"layers.{layer}.1", torch.zeros(64)
    for inputs in calibration():
        state = encoder(inputs).hidden_states[layer]
        change = encoder.sublayer(f"layers.{layer}.0", attention, state, None)
        state = encoder.norm(f"layers.{layer}.0.norm", state + change)
        inner = state @ weights[f"{name}.linear.0.weight"].T + weights[f"{name}.linear.0.bias"]
        used = torch.nn.functional.gelu(inner).abs().mean(dim=(0, 1))
        total += used * weights[f"{name}.linear.1.weight"].norm(dim=0)
    moved, _ = permute(ARCH, weights, calibration())
    wanted = weights[f"{name}.linear.0.bias"][total.argsort(descending=True)]
    assert torch.equal(moved[f"{name}.linear.0.bias"], wanted)


def test_the_source_is_walked_once_for_each_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    walked = []
    original = Encoder.sublayer

    def counted(encoder: Encoder, name: str, *rest: Any) -> torch.Tensor:
        walked.append(name)
        return original(encoder, name, *rest)

    monkeypatch.setattr(Encoder, "sublayer", counted)
    permute(ARCH, random_weights(ARCH), calibration())
    assert len(walked) == 2 * 2 * 6  # for the stream and for the scores, two batches, 6 sub-layers


def test_no_batch_is_an_error() -> None:
    with pytest.raises(ValueError, match="at least one batch"):
        permute(ARCH, random_weights(ARCH), [])


def test_the_weights_handed_in_stay_as_they_are() -> None:
    weights = random_weights(ARCH)
    before = {name: value.clone() for name, value in weights.items()}
    permute(ARCH, weights, calibration())
    assert all(torch.equal(weights[name], before[name]) for name in before)
