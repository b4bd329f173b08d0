"""How a sub-network gets its weights: one interface for the sliced forward and for extraction."""

from __future__ import annotations

import abc
from typing import assert_never

from torch import Tensor, nn

from fleetfit.architecture import Architecture, FeedForward, SelfAttention
from fleetfit.errors import InputError
from fleetfit.weights import weight_shapes
from supernet.spaces import SearchSpace

__all__ = ["NarrowedHeads", "PrefixSlices", "WeightSource", "get", "put", "slices_of"]


def put(module: nn.Module, name: str, value: Tensor) -> None:
    """Register a copy of ``value`` as the parameter ``name``; torch forbids dots in names."""
    module.register_parameter(name.replace(".", "/"), nn.Parameter(value.clone()))


def get(module: nn.Module, name: str) -> Tensor:
    """The parameter that ``put`` registered under ``name``."""
    return module.get_parameter(name.replace(".", "/"))


class WeightSource(nn.Module, abc.ABC):
    """Owns the weights of all sub-layers of a supernet.

    ``sublayer`` is called for every sub-layer of an architecture, in training and in extraction
    alike, with gradients flowing to whatever parameters it uses. It reads the whole architecture,
    so that a router may mix weights by it, and keeps nothing between calls.
    """

    @abc.abstractmethod
    def sublayer(self, arch: Architecture, layer: int, sub: int) -> dict[str, Tensor]:
        """Weights of one sub-layer by the last part of their names, as in ``query.weight``."""


class _Slices(WeightSource):
    """Leading rows and columns of the source's matrices; a subclass cuts the axis of the heads."""

    def __init__(self, source: Architecture, weights: dict[str, Tensor]) -> None:
        """``weights``: all of the source's weights; only those of sub-layers are kept."""
        super().__init__()
        self.source = source
        for name in weight_shapes(source):
            if name.startswith("layers."):
                put(self, name, weights[name])

    @abc.abstractmethod
    def _heads(self, rows: Tensor, wanted: SelfAttention, own: SelfAttention) -> Tensor:
        """What ``wanted`` keeps of ``rows``, whose first axis is heads x head_dim of ``own``.

        Raises InputError where ``wanted`` cannot be cut from ``own``.
        """

    def sublayer(self, arch: Architecture, layer: int, sub: int) -> dict[str, Tensor]:
        """See WeightSource."""
        shape = arch.layers[layer]
        name = f"layers.{shape.source}.{sub}"
        width, wanted = shape.width, shape.sublayers[sub]
        if isinstance(wanted, SelfAttention):
            cut = self._attention(name, width, wanted, self._own(shape.source, sub))
        elif isinstance(wanted, FeedForward) and len(wanted.widths) == 1:
            cut = self._feed_forward(name, width, wanted.widths[0])
        else:
            raise InputError(f"Prefix slices must be of plain BERT sub-layers, but got {wanted}.")
        norm = {part: get(self, f"{name}.norm.{part}")[:width] for part in ("weight", "bias")}
        return cut | {f"norm.{part}": value for part, value in norm.items()}

    def _own(self, layer: int, sub: int) -> SelfAttention:
        own = self.source.layers[layer].sublayers[sub]
        if not isinstance(own, SelfAttention):
            raise InputError(f"Sub-layer {sub} of the source must be attention, but is {own}.")
        return own

    def _attention(
        self, name: str, width: int, wanted: SelfAttention, own: SelfAttention
    ) -> dict[str, Tensor]:
        cut = {}
        for part in ("query", "key", "value"):
            weight, bias = get(self, f"{name}.{part}.weight"), get(self, f"{name}.{part}.bias")
            cut[f"{part}.weight"] = self._heads(weight[:, :width], wanted, own)
            cut[f"{part}.bias"] = self._heads(bias, wanted, own)
        leaving = get(self, f"{name}.output.weight")[:width].T
        cut["output.weight"] = self._heads(leaving, wanted, own).T
        cut["output.bias"] = get(self, f"{name}.output.bias")[:width]
        return cut

    def _feed_forward(self, name: str, width: int, inner: int) -> dict[str, Tensor]:
        return {
            "linear.0.weight": get(self, f"{name}.linear.0.weight")[:inner, :width],
            "linear.0.bias": get(self, f"{name}.linear.0.bias")[:inner],
            "linear.1.weight": get(self, f"{name}.linear.1.weight")[:width, :inner],
            "linear.1.bias": get(self, f"{name}.linear.1.bias")[:width],
        }


class PrefixSlices(_Slices):
    """Leading rows and columns of the source's matrices; heads leave whole, from the last."""

    def _heads(self, rows: Tensor, wanted: SelfAttention, own: SelfAttention) -> Tensor:
        if wanted.head_dim != own.head_dim or wanted.heads > own.heads:
            raise InputError(f"Heads must be whole heads of {own}, but got {wanted}.")
        return rows[: wanted.heads * wanted.head_dim]


class NarrowedHeads(_Slices):
    """Leading rows and columns of the source's matrices; every head keeps its leading part.

    Head i of a member has the first ``head_dim`` rows of head i of the source in query, key and
    value, and the same columns of the output map (AutoTinyBERT's distillation mode), so the
    attention scores of both can be matched head by head. SuperShaper's code takes the first
    ``heads x head_dim`` rows over all heads instead; see ``SuperShaperSpace``.
    """

    def _heads(self, rows: Tensor, wanted: SelfAttention, own: SelfAttention) -> Tensor:
        if wanted.heads != own.heads or wanted.head_dim > own.head_dim:
            raise InputError(f"Heads must be all those of {own} or narrower, but got {wanted}.")
        by_head = rows.reshape(own.heads, own.head_dim, *rows.shape[1:])
        return by_head[:, : wanted.head_dim].flatten(0, 1)


def slices_of(space: SearchSpace, weights: dict[str, Tensor]) -> WeightSource:
    """The slices of the source's ``weights`` that the members of ``space`` are."""
    match space.slicing:
        case "whole_heads":
            return PrefixSlices(space.source, weights)
        case "narrowed_heads":
            return NarrowedHeads(space.source, weights)
        case _:
            assert_never(space.slicing)
