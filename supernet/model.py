"""The elastic model: one set of weights, every member of a space a slice of it."""

from __future__ import annotations

import copy
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
        task: Head | None = None,
    ) -> None:
        """``weights``: the source's, float32, under a masked-LM head or none.

        Without a masked-LM head a fresh one is made: identity transform, zero biases.
        ``sublayers``: where attention and feed-forward get their weights; the slices of ``weights``
        that the space's members are where not given. ``task``: a head beside the body, whose
        ``task.weight`` (outputs x the source's width) and ``task.bias`` are in ``weights`` too.
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
        self.task: Head | None = None
        if task is not None:
            self._put_task(task, weights["task.weight"], weights["task.bias"])

    def with_task(self, head: Head, *, seed: int = 0) -> Supernet:
        """A copy that carries a fresh ``head``: weights from N(0, 0.02), biases 0.

        Raises InputError for a head without weights of its own.
        """
        shapes = _task_shapes(self.space.source, head)
        drawn = np.random.default_rng(seed).normal(0, 0.02, shapes["task.weight"])
        made = copy.deepcopy(self)
        made._put_task(head, torch.from_numpy(drawn).float(), torch.zeros(head.outputs))
        return made

    def _put_task(self, head: Head, weight: Tensor, bias: Tensor) -> None:
        put(self, "task.weight", weight)
        put(self, "task.bias", bias)
        self.task = head

    def forward(self, batch: Batch, arch: Architecture, *, scores: bool = False) -> Output:
        """Run the slice that ``arch`` names, head included. ``scores``: see Encoder."""
        return Encoder(arch=arch, weights=self.slice(arch))(batch, scores=scores)

    def slice(self, arch: Architecture) -> dict[str, Tensor]:
        """The weights of ``arch`` with gradients to this supernet's; names of fleetfit.weights.

        Raises InputError for an architecture outside the space or a head that is not here.
        """
        return self._slice(arch, torch.float32)

    def _slice(self, arch: Architecture, dtype: torch.dtype) -> dict[str, Tensor]:
        """The slice, with the matrices that are products computed in ``dtype``."""
        self._check_head(arch.head)
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
            named |= self._lm_head(arch, dtype)
        elif arch.head.kind != "none":
            weight = self._leaving(get(self, "task.weight"), arch, dtype)
            named |= {"head.output.weight": weight, "head.output.bias": get(self, "task.bias")}
        return named

    def _check_head(self, head: Head) -> None:
        if head.kind in ("none", "masked_lm") or head == self.task:
            return
        if self.task is None:
            raise InputError(
                f"A supernet's head must be none or masked_lm, but got {head.kind!r}; "
                "extract the body and train that head on it."
            )
        raise InputError(
            f"This supernet's head must be none, masked_lm or its task's {_named(self.task)}, but "
            f"got {_named(head)}; fine-tune the supernet on that task."
        )

    def readout(self, arch: Architecture, hidden: Tensor) -> Tensor:
        """The last hidden state of ``arch`` mapped to the source's width, where it is narrower."""
        if arch.width == self.space.source.width:
            return hidden
        place = arch.layers[-1].source + 1
        return hidden @ self._out(place, arch.width, torch.float32).T

    def _out(self, place: int, width: int, dtype: torch.dtype) -> Tensor:
        """The factor of a projection by which a stream of ``width`` leaves ``place``."""
        return get(self, f"out.{place}")[:, :width].to(dtype)

    def _leaving(self, weight: Tensor, arch: Architecture, dtype: torch.dtype) -> Tensor:
        """A map of the source's width as one of the last hidden state of ``arch``; see readout."""
        if arch.width == self.space.source.width:
            return weight
        return weight.to(dtype) @ self._out(arch.layers[-1].source + 1, arch.width, dtype)

    def _lm_head(self, arch: Architecture, dtype: torch.dtype) -> dict[str, Tensor]:
        width = arch.embedding.width
        transform = get(self, "head.transform.weight")[:width]
        return {
            "head.transform.weight": self._leaving(transform, arch, dtype),
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


def tensor_shapes(source: Architecture, task: Head | None = None) -> dict[str, tuple[int, ...]]:
    """Name on disk to shape of every parameter of a supernet around ``source``.

    ``task``: the head that it carries; InputError for one without weights of its own.
    """
    depth, width = len(source.layers), source.width
    shapes = weight_shapes(source.with_head(Head(kind="masked_lm")))
    shapes |= {f"out.{place}": (width, width) for place in range(depth + 1)}
    shapes |= {f"in.{layer}.weight": (width, width) for layer in range(depth)}
    shapes |= {f"in.{layer}.bias": (width,) for layer in range(depth)}
    return shapes if task is None else shapes | _task_shapes(source, task)


def _task_shapes(source: Architecture, task: Head) -> dict[str, tuple[int, ...]]:
    if not task.outputs:
        raise InputError(
            f"A task's head must be classification or span, but got {task.kind!r}; other heads "
            "have nothing to learn."
        )
    return {"task.weight": (task.outputs, source.width), "task.bias": (task.outputs,)}


def _named(head: Head) -> str:
    pooled = f", {head.pooling} pooling" if head.pooling else ""
    return f"{head.kind} with {head.outputs} outputs{pooled}" if head.outputs else head.kind


def _fresh_lm_head(source: Architecture) -> dict[str, Tensor]:
    shapes = weight_shapes(source.with_head(Head(kind="masked_lm")))
    fresh = {name: torch.zeros(s) for name, s in shapes.items() if name.startswith("head.")}
    fresh["head.transform.weight"] = torch.eye(source.width)
    fresh["head.norm.weight"] = torch.ones(source.width)
    return fresh
