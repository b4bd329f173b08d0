"""A plain torch encoder, written as people write them and tools know them, to be exported."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from fleetfit import Architecture, FeedForward, InputError, SelfAttention, Weights

__all__ = ["EagerNetwork"]


class EagerNetwork(nn.Module):
    """BERT with ``nn.Linear`` and ``nn.LayerNorm``, GELU, and a mean-pooled embedding head."""

    def __init__(self, arch: Architecture, weights: Weights, *, sdpa: bool = False) -> None:
        """Under a copy of ``weights``; raises InputError for another head or activation.

        ``sdpa``: attention by torch's ``scaled_dot_product_attention``, not by products.
        """
        super().__init__()
        if (arch.head.kind, arch.head.pooling, arch.activation) != ("embedding", "mean", "gelu"):
            raise InputError("This network must have a mean-pooled embedding head and GELU.")
        self.arch = arch
        e = arch.embedding
        self.tokens = nn.Embedding(e.vocab_size, e.width)
        self.positions = nn.Embedding(e.max_positions, e.width)
        self.segments = nn.Embedding(e.segments, e.width)
        self.norm = nn.LayerNorm(e.width, eps=arch.norm_eps)
        widths = (e.width, *(layer.width for layer in arch.layers))
        self.layers = nn.ModuleList(
            _Layer(arch, i, before, sdpa) for i, before in enumerate(widths[:-1])
        )
        self._load(weights)

    def _load(self, weights: Weights) -> None:
        renamed = {}
        for name, array in weights.items():
            key = name.removeprefix("embedding.").replace(".linear.", ".linears.")
            parts = key.split(".")
            if parts[0] == "layers" and parts[2].isdigit():
                parts.insert(2, "sublayers")
            elif parts[0] in ("tokens", "positions", "segments"):
                parts.append("weight")
            renamed[".".join(parts)] = torch.from_numpy(np.array(array))
        self.load_state_dict(renamed)

    def forward(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor) -> Tensor:
        """Batch x seq ids to batch x width unit vectors."""
        place = torch.arange(input_ids.shape[1], device=input_ids.device)
        x = self.tokens(input_ids) + self.positions(place) + self.segments(token_type_ids)
        x = self.norm(x)
        mask = attention_mask.to(x.dtype)
        bias = (1.0 - attention_mask[:, None, None, :].to(x.dtype)) * torch.finfo(x.dtype).min
        for layer in self.layers:
            x = layer(x, bias)
        pooled = (x * mask[:, :, None]).sum(dim=1) / mask.sum(dim=1, keepdim=True).clamp(min=1e-9)
        return nn.functional.normalize(pooled, dim=-1)

    @torch.no_grad()
    def reference(
        self, inputs: Mapping[str, npt.NDArray[np.int64]]
    ) -> dict[str, npt.NDArray[np.float32]]:
        """Outputs by name, as of a session."""
        tensors = {name: torch.from_numpy(array) for name, array in inputs.items()}
        return {"embedding": self(**tensors).numpy()}


class _Layer(nn.Module):
    def __init__(self, arch: Architecture, index: int, before: int, sdpa: bool) -> None:
        super().__init__()
        layer = arch.layers[index]
        self.projection = nn.Linear(before, layer.width) if layer.projected else nn.Identity()
        made: list[nn.Module] = []
        for sub in layer.sublayers:
            if isinstance(sub, SelfAttention):
                made.append(_Attention(layer.width, sub, arch.norm_eps, sdpa))
            elif isinstance(sub, FeedForward):
                made.append(_FeedForward(layer.width, sub, arch.norm_eps))
        self.sublayers = nn.ModuleList(made)

    def forward(self, x: Tensor, bias: Tensor) -> Any:
        x = self.projection(x)
        for sub in self.sublayers:
            x = sub(x, bias)
        return x


class _Attention(nn.Module):
    def __init__(self, width: int, sub: SelfAttention, eps: float, sdpa: bool) -> None:
        super().__init__()
        inner = sub.heads * sub.head_dim
        self.head_dim, self.sdpa = sub.head_dim, sdpa
        self.query, self.key, self.value = (nn.Linear(width, inner) for _ in range(3))
        self.output = nn.Linear(inner, width)
        self.norm = nn.LayerNorm(width, eps=eps)

    def forward(self, x: Tensor, bias: Tensor) -> Any:
        shape = (*x.shape[:-1], -1, self.head_dim)
        q, k, v = (
            part(x).view(shape).transpose(1, 2) for part in (self.query, self.key, self.value)
        )
        if self.sdpa:
            mixed = nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=bias)
        else:
            scores = torch.matmul(q, k.transpose(2, 3)) / math.sqrt(self.head_dim) + bias
            mixed = torch.matmul(nn.functional.softmax(scores, dim=-1), v)
        joint = mixed.transpose(1, 2).reshape(*x.shape[:-1], -1)
        return self.norm(x + self.output(joint))


class _FeedForward(nn.Module):
    def __init__(self, width: int, sub: FeedForward, eps: float) -> None:
        super().__init__()
        ends = (width, *sub.widths, width)
        self.linears = nn.ModuleList(nn.Linear(a, b) for a, b in itertools.pairwise(ends))
        self.norm = nn.LayerNorm(width, eps=eps)

    def forward(self, x: Tensor, bias: Tensor) -> Any:
        y = x
        for k, linear in enumerate(self.linears):
            y = linear(y) if k == 0 else linear(nn.functional.gelu(y))
        return self.norm(x + y)
