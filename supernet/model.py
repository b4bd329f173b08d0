"""The elastic model: one set of weights, every member of a space a slice of it."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from fleetfit.architecture import Architecture, Head
from fleetfit.errors import InputError
from fleetfit.weights import weight_shapes
from supernet.forward import Batch, Encoder, Output
from supernet.spaces import SearchSpace
from supernet.weight_source import WeightSource, get, put, slices_of

__all__ = ["Supernet", "tensor_shapes"]

_EMBEDDING = ("tokens", "positions", "segments", "norm.weight", "norm.bias")
_LM_HEAD = ("transform.weight", "transform.bias", "norm.weight", "norm.bias", "bias")


class Supernet(nn.Module):
    """Weights of the source model plus the projections between widths.

    A projection from width a, left by place p, to width b, entered at layer q, is
    ``in_q[:b] @ out_p[:, :a]`` plus a bias: both factors are full-width matrices that start as
    identity. Place 0 is the embedding, place i + 1 is layer i. ``out`` of a layer is also the
    readout that maps its hidden state to the source's width.
    """

    def __init__(
        self,
        space: SearchSpace,
        weights: dict[str, Tensor],
        *,
        sublayers: WeightSource | None = None,
    ) -> None:
        """``weights``: the source's, float32, under a masked-LM head or none.

        Without a masked-LM head a fresh one is made: identity transform, zero biases.
        ``sublayers``: where attention and feed-forward get their weights; the slices of ``weights``
        that the space's members are where not given.
        """
        super().__init__()
        self.space = space.with_head(Head())
        source = self.space.source
        for part in _EMBEDDING:
            put(self, f"embedding.{part}", weights[f"embedding.{part}"])
        self.sublayers = slices_of(self.space, weights) if sublayers is None else sublayers
        width = source.width
        for place in range(len(source.layers) + 1):
            put(self, f"out.{place}", torch.eye(width))
        for layer in range(len(source.layers)):
            put(self, f"in.{layer}.weight", torch.eye(width))
            put(self, f"in.{layer}.bias", torch.zeros(width))
        fresh = _fresh_lm_head(source)
        for part in _LM_HEAD:
            name = f"head.{part}"
            put(self, name, weights.get(name, fresh[name]))

    def forward(self, batch: Batch, arch: Architecture, *, scores: bool = False) -> Output:
        """Run the slice that ``arch`` names; head none or masked LM. ``scores``: see Encoder."""
        return Encoder(arch=arch, weights=self.slice(arch))(batch, scores=scores)

    def slice(self, arch: Architecture) -> dict[str, Tensor]:
        """The weights of ``arch`` with gradients to this supernet's; names of fleetfit.weights.

        Raises InputError for an architecture outside the space or a head that is not here.
        """
        return self._slice(arch, torch.float32)

    def _slice(self, arch: Architecture, dtype: torch.dtype) -> dict[str, Tensor]:
        """The slice, with the matrices that are products computed in ``dtype``."""
        if arch.head.kind not in ("none", "masked_lm"):
            raise InputError(
                f"A supernet's head must be none or masked_lm, but got {arch.head.kind!r}; "
                "extract the body and train that head on it."
            )
        self.space.genome(dataclasses.replace(arch, head=Head()))
        width = arch.embedding.width
        named = {f"embedding.{p}": get(self, f"embedding.{p}")[..., :width] for p in _EMBEDDING}
        place = 0
        for i, layer in enumerate(arch.layers):
            if layer.projected:
                entering = get(self, f"in.{layer.source}.weight")[: layer.width].to(dtype)
                bias = get(self, f"in.{layer.source}.bias")[: layer.width]
                named[f"layers.{i}.projection.weight"] = entering @ self._out(place, width, dtype)
                named[f"layers.{i}.projection.bias"] = bias
            for j in range(len(layer.sublayers)):
                cut = self.sublayers.sublayer(arch, i, j)
                named |= {f"layers.{i}.{j}.{part}": value for part, value in cut.items()}
            place, width = layer.source + 1, layer.width
        if arch.head.kind == "masked_lm":
            named |= self._lm_head(arch, place, dtype)
        return named

    def readout(self, arch: Architecture, hidden: Tensor) -> Tensor:
        """The last hidden state of ``arch`` mapped to the source's width, where it is narrower."""
        if arch.width == self.space.source.width:
            return hidden
        place = arch.layers[-1].source + 1
        return hidden @ self._out(place, arch.width, torch.float32).T

    def _out(self, place: int, width: int, dtype: torch.dtype) -> Tensor:
        """The factor of a projection by which a stream of ``width`` leaves ``place``."""
        return get(self, f"out.{place}")[:, :width].to(dtype)

    def _lm_head(self, arch: Architecture, place: int, dtype: torch.dtype) -> dict[str, Tensor]:
        width = arch.embedding.width
        transform = get(self, "head.transform.weight")[:width]
        if arch.width < self.space.source.width:
            transform = transform.to(dtype) @ self._out(place, arch.width, dtype)
        return {
            "head.transform.weight": transform,
            "head.transform.bias": get(self, "head.transform.bias")[:width],
            "head.norm.weight": get(self, "head.norm.weight")[:width],
            "head.norm.bias": get(self, "head.norm.bias")[:width],
            "head.bias": get(self, "head.bias"),
        }

    def extract(
        self, arch: Architecture, *, copy: bool = True
    ) -> dict[str, npt.NDArray[np.float32]]:
        """The weights of ``arch`` as static arrays; products are folded in float64.

        Without ``copy`` arrays may share memory with this supernet: for use at once.
        """
        with torch.no_grad():
            named = self._slice(arch, torch.float64)
            arrays = {n: v.float().cpu().numpy() for n, v in named.items()}
        return {n: np.array(a, order="C") for n, a in arrays.items()} if copy else arrays

    def tensors(self) -> dict[str, Tensor]:
        """Every parameter under its name on disk, for sub-layers that are slices."""
        return {
            name.removeprefix("sublayers.").replace("/", "."): p
            for name, p in self.named_parameters()
        }


def tensor_shapes(source: Architecture) -> dict[str, tuple[int, ...]]:
    """Name on disk to shape of every parameter of a supernet around ``source``."""
    depth, width = len(source.layers), source.width
    shapes = weight_shapes(source.with_head(Head(kind="masked_lm")))
    shapes |= {f"out.{place}": (width, width) for place in range(depth + 1)}
    shapes |= {f"in.{layer}.weight": (width, width) for layer in range(depth)}
    return shapes | {f"in.{layer}.bias": (width,) for layer in range(depth)}


def _fresh_lm_head(source: Architecture) -> dict[str, Tensor]:
    shapes = weight_shapes(source.with_head(Head(kind="masked_lm")))
    fresh = {name: torch.zeros(s) for name, s in shapes.items() if name.startswith("head.")}
    fresh["head.transform.weight"] = torch.eye(source.width)
    fresh["head.norm.weight"] = torch.ones(source.width)
    return fresh
