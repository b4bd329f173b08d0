"""Names and shapes of weights: one network written out by hand, and what is refused."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given

from fleetfit import (
    Architecture,
    Embedding,
    FeedForward,
    Head,
    InputError,
    Layer,
    SelfAttention,
    SeparableConv,
    check_weights,
    weight_shapes,
)
from tests.fleetfit.strategies import architectures

# 5 words, embedding 4 wide, one projected layer 6 wide: attention 2 x 5, feed-forward 7 -> 8
ARCH = Architecture(
    embedding=Embedding(vocab_size=5, width=4, max_positions=9, segments=2),
    layers=(
        Layer(
            width=6,
            sublayers=(SelfAttention(heads=2, head_dim=5), FeedForward(widths=(7, 8))),
            projected=True,
            source=0,
        ),
    ),
    head=Head(kind="masked_lm"),
)
BODY = {
    "embedding.tokens": (5, 4),
    "embedding.positions": (9, 4),
    "embedding.segments": (2, 4),
    "embedding.norm.weight": (4,),
    "embedding.norm.bias": (4,),
    "layers.0.projection.weight": (6, 4),
    "layers.0.projection.bias": (6,),
    "layers.0.0.query.weight": (10, 6),
    "layers.0.0.query.bias": (10,),
    "layers.0.0.key.weight": (10, 6),
    "layers.0.0.key.bias": (10,),
    "layers.0.0.value.weight": (10, 6),
    "layers.0.0.value.bias": (10,),
    "layers.0.0.output.weight": (6, 10),
    "layers.0.0.output.bias": (6,),
    "layers.0.0.norm.weight": (6,),
    "layers.0.0.norm.bias": (6,),
    "layers.0.1.linear.0.weight": (7, 6),
    "layers.0.1.linear.0.bias": (7,),
    "layers.0.1.linear.1.weight": (8, 7),
    "layers.0.1.linear.1.bias": (8,),
    "layers.0.1.linear.2.weight": (6, 8),
    "layers.0.1.linear.2.bias": (6,),
    "layers.0.1.norm.weight": (6,),
    "layers.0.1.norm.bias": (6,),
}


@pytest.mark.parametrize(
    ("head", "extra"),
    [
        (Head(), {}),
        (Head(kind="embedding", pooling="mean"), {}),
        (
            Head(kind="masked_lm"),
            {
                "head.transform.weight": (4, 6),
                "head.transform.bias": (4,),
                "head.norm.weight": (4,),
                "head.norm.bias": (4,),
                "head.bias": (5,),
            },
        ),
        (
            Head(kind="classification", pooling="first", outputs=3),
            {"head.output.weight": (3, 6), "head.output.bias": (3,)},
        ),
        (
            Head(kind="span", outputs=2),
            {"head.output.weight": (2, 6), "head.output.bias": (2,)},
        ),
    ],
)
def test_shapes_by_hand_in_the_order_of_the_forward_pass(
    head: Head, extra: dict[str, tuple[int, ...]]
) -> None:
    assert list(weight_shapes(ARCH.with_head(head)).items()) == list((BODY | extra).items())


def zeros(arch: Architecture) -> dict[str, npt.NDArray[np.float32]]:
    return {name: np.zeros(s, dtype=np.float32) for name, s in weight_shapes(arch).items()}


@given(architectures())
def test_weights_of_the_stated_shapes_fit(arch: Architecture) -> None:
    check_weights(arch, zeros(arch))


def test_what_does_not_fit_is_named() -> None:
    missing = zeros(ARCH)
    del missing["layers.0.1.norm.bias"]
    with pytest.raises(InputError, match=r"'layers.0.1.norm.bias' is missing"):
        check_weights(ARCH, missing)
    with pytest.raises(InputError, match="'pooler' is unknown"):
        check_weights(ARCH, zeros(ARCH) | {"pooler": np.zeros(1, dtype=np.float32)})
    turned = zeros(ARCH) | {"embedding.tokens": np.zeros((4, 5), dtype=np.float32)}
    with pytest.raises(InputError, match=r"'embedding.tokens' must have the shape \(5, 4\)"):
        check_weights(ARCH, turned)
    half: Any = np.zeros((5, 4), dtype=np.float16)
    with pytest.raises(InputError, match=r"'embedding\.tokens' must be float32, but is float16"):
        check_weights(ARCH, zeros(ARCH) | {"embedding.tokens": half})


def test_a_sublayer_without_weights_yet_is_named() -> None:
    conv = dataclasses.replace(ARCH.layers[0], sublayers=(SeparableConv(kernel=3),))
    with pytest.raises(InputError, match="but got SeparableConv"):
        weight_shapes(dataclasses.replace(ARCH, layers=(conv,)))
