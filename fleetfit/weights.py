"""The weights of an extracted network: names and shapes, the one convention everything shares.

Linear maps are stored as (out, in), like torch does, and applied as ``x @ W.T + b``.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from fleetfit.architecture import Architecture, FeedForward, SelfAttention, SubLayer
from fleetfit.errors import InputError

__all__ = ["Weights", "check_weights", "weight_shapes"]

Weights = Mapping[str, npt.NDArray[np.float32]]
"""Name to float32 array, names and shapes as in ``weight_shapes``."""


def weight_shapes(arch: Architecture) -> dict[str, tuple[int, ...]]:
    """Name to shape of every weight of an extracted network, in the order of the forward pass."""
    embedding, width = arch.embedding, arch.embedding.width
    shapes: dict[str, tuple[int, ...]] = {
        "embedding.tokens": (embedding.vocab_size, width),
        "embedding.positions": (embedding.max_positions, width),
        "embedding.segments": (embedding.segments, width),
        **_norm("embedding.norm", width),
    }
    for i, layer in enumerate(arch.layers):
        if layer.projected:
            shapes |= _linear(f"layers.{i}.projection", layer.width, width)
        width = layer.width
        for j, sub in enumerate(layer.sublayers):
            shapes |= _sublayer(f"layers.{i}.{j}", width, sub)
    return shapes | _head(arch)


def _linear(name: str, outputs: int, inputs: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}


def _norm(name: str, width: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}


def _sublayer(name: str, width: int, sub: SubLayer) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {}
    if isinstance(sub, SelfAttention):
        inner = sub.heads * sub.head_dim
        for part in ("query", "key", "value"):
            shapes |= _linear(f"{name}.{part}", inner, width)
        shapes |= _linear(f"{name}.output", width, inner)
    elif isinstance(sub, FeedForward):
        ends = (width, *sub.widths, width)
        for k, (inputs, outputs) in enumerate(itertools.pairwise(ends)):
            shapes |= _linear(f"{name}.linear.{k}", outputs, inputs)
    else:
        raise InputError(
            "Sub-layers must be SelfAttention or FeedForward in this version, "
            f"but got {type(sub).__name__}."
        )
    return shapes | _norm(f"{name}.norm", width)


def _head(arch: Architecture) -> dict[str, tuple[int, ...]]:
    embedding, head = arch.embedding, arch.head
    if head.kind == "masked_lm":
        return {
            **_linear("head.transform", embedding.width, arch.width),
            **_norm("head.norm", embedding.width),
            "head.bias": (embedding.vocab_size,),
        }
    if head.kind in ("classification", "span"):
        return _linear("head.output", head.outputs, arch.width)
    return {}


def check_weights(arch: Architecture, weights: Weights) -> None:
    """Raise InputError unless ``weights`` are float32 with the names and shapes of ``arch``."""
    shapes = weight_shapes(arch)
    odd = sorted(shapes.keys() ^ weights.keys())
    if odd:
        state = "missing" if odd[0] in shapes else "unknown"
        raise InputError(f"Weights must fit their architecture, but {odd[0]!r} is {state}.")
    for name, shape in shapes.items():
        if weights[name].shape != shape:
            raise InputError(
                f"Weight {name!r} must have the shape {shape}, but got {weights[name].shape}."
            )
        if weights[name].dtype != np.float32:
            raise InputError(f"Weight {name!r} must be float32, but is {weights[name].dtype}.")
