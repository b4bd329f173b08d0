"""How a sub-network gets its weights: one interface for the sliced forward and for extraction."""

from __future__ import annotations

import abc

from torch import Tensor, nn

from fleetfit.architecture import Architecture, FeedForward, SelfAttention
from fleetfit.errors import InputError
from fleetfit.weights import weight_shapes

__all__ = ["PrefixSlices", "WeightSource", "get", "put"]


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


class PrefixSlices(WeightSource):
    """Leading rows and columns of the source's matrices; heads leave whole, from the last."""

    def __init__(self, source: Architecture, weights: dict[str, Tensor]) -> None:
        """``weights``: all of the source's weights; only those of sub-layers are kept."""
        super().__init__()
        self.source = source
        for name in weight_shapes(source):
            if name.startswith("layers."):
                put(self, name, weights[name])

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
        if wanted.head_dim != own.head_dim or wanted.heads > own.heads:
            raise InputError(f"Heads must be whole heads of {own}, but got {wanted}.")
        inner = wanted.heads * wanted.head_dim
        cut = {}
        for part in ("query", "key", "value"):
            cut[f"{part}.weight"] = get(self, f"{name}.{part}.weight")[:inner, :width]
            cut[f"{part}.bias"] = get(self, f"{name}.{part}.bias")[:inner]
        cut["output.weight"] = get(self, f"{name}.output.weight")[:width, :inner]
        cut["output.bias"] = get(self, f"{name}.output.bias")[:width]
        return cut

    def _feed_forward(self, name: str, width: int, inner: int) -> dict[str, Tensor]:
        return {
            "linear.0.weight": get(self, f"{name}.linear.0.weight")[:inner, :width],
            "linear.0.bias": get(self, f"{name}.linear.0.bias")[:inner],
            "linear.1.weight": get(self, f"{name}.linear.1.weight")[:width, :inner],
            "linear.1.bias": get(self, f"{name}.linear.1.bias")[:width],
        }
