"""What a network computes in each precision, in torch on any processor: for judging quality.

An estimate for the search. What an exported model really computes is compared with fp32 and scored
on its task when it is exported.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, assert_never

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from fleetfit.query import Precision

__all__ = ["computed_in"]


@contextlib.contextmanager
def computed_in(precision: Precision, *, device: str = "cpu") -> Iterator[None]:
    """Forward passes within compute as a target of that precision does, without gradients to use.

    bf16, fp16: autocast. int8, int8_dynamic: linear maps as ``exporters.quantize`` writes them in
    8 bits, each sequence of a batch being a run of its own (but word embeddings stay fp32, and a
    masked-LM head's map to the words is rounded, which is not when exported). tf32: fp32.
    """
    match precision:
        case "fp32" | "tf32":
            yield
        case "bf16" | "fp16":
            dtype = torch.bfloat16 if precision == "bf16" else torch.float16
            with torch.autocast(device, dtype):
                yield
        case "int8" | "int8_dynamic":
            with _Int8(fixed=precision == "int8"):
                yield
        case _:
            assert_never(precision)


class _Int8(TorchFunctionMode):
    """Linear maps with rounded weights and inputs: integer products times their scales."""

    def __init__(self, *, fixed: bool) -> None:
        super().__init__()
        self._fixed = fixed

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if func is F.linear:
            x, weight, *rest = args
            args = (_activations(x, fixed=self._fixed), _weights(weight), *rest)
        return func(*args, **(kwargs or {}))


def _weights(weight: Tensor) -> Tensor:
    """Symmetric, 127 steps either way, a scale for each output (rows of out x in)."""
    scale = weight.abs().amax(dim=1, keepdim=True).clamp(min=1e-12) / 127
    return (weight / scale).round() * scale


def _activations(x: Tensor, *, fixed: bool) -> Tensor:
    """256 steps over the range of each sequence; ``fixed``: over their mean range, clipped."""
    flat = x.flatten(1)
    low, high = flat.amin(dim=1), flat.amax(dim=1)
    if fixed:
        low, high = low.mean().expand_as(low), high.mean().expand_as(high)
    low, high = low.clamp(max=0), high.clamp(min=0)
    shape = (-1, *[1] * (x.dim() - 1))
    scale = ((high - low).clamp(min=1e-12) / 255).view(shape)
    zero = (-low.view(shape) / scale).round()
    return ((x / scale).round() + zero).clamp(0, 255).sub(zero) * scale
