"""The network of a bundle as one short torch module: to read, to change, and to train on.

It needs ``torch`` and ``safetensors`` and nothing of this project: copy the file. It reads sizes
from ``manifest.json`` and weights from ``encoder.safetensors``, of any bundle.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor, nn


class BundleEncoder(nn.Module):
    """BERT with its norms after each sub-layer: x = norm(x + sublayer(x)).

    Where the width changes a linear map (``projection``) stands before the layer; heads x head_dim
    need not equal the width. Parameters are named as in the file, with / for each dot, which torch
    forbids. Dropout, in training mode only, stands after the embeddings
    and each sub-layer and before the head.
    """

    def __init__(self, arch: dict[str, Any], weights: dict[str, Tensor], *, dropout: float = 0.1):
        """``arch``: the manifest's ``architecture``."""
        super().__init__()
        self.arch = arch
        self.dropout = nn.Dropout(dropout)
        for name, value in weights.items():
            self.register_parameter(name.replace(".", "/"), nn.Parameter(value.clone()))

    @classmethod
    def of_bundle(cls, path: str | Path, *, dropout: float = 0.1) -> BundleEncoder:
        """The network of the bundle in the directory ``path``; what runs there is not changed."""
        manifest = json.loads((Path(path) / "manifest.json").read_text(encoding="utf-8"))
        weights = load_file(Path(path) / "encoder.safetensors")
        return cls(manifest["architecture"], weights, dropout=dropout)

    def save(self, path: str | Path) -> None:
        """Write the weights as a bundle's ``encoder.safetensors`` has them."""
        named = {name.replace("/", "."): p.detach().cpu() for name, p in self.named_parameters()}
        save_file(named, path)

    def forward(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor) -> Tensor:
        """What the bundle's model gives for the same int64 tensors, batch x seq.

        By the head's kind: logits of each text (classification), of each token (span, masked_lm),
        an embedding of length 1, or the hidden states (none).
        """
        x = F.embedding(input_ids, self.weight("embedding.tokens"))
        x = x + self.weight("embedding.positions")[: input_ids.shape[1]]
        x = x + F.embedding(token_type_ids, self.weight("embedding.segments"))
        x = self.dropout(self.norm("embedding.norm", x))
        for i, layer in enumerate(self.arch["layers"]):
            if layer["projected"]:
                x = self.linear(f"layers.{i}.projection", x)
            for j, sub in enumerate(layer["sublayers"]):
                name = f"layers.{i}.{j}"
                change = self.sublayer(name, sub, x, attention_mask)
                x = self.norm(f"{name}.norm", x + self.dropout(change))
        return self.head(x, attention_mask)

    def sublayer(self, name: str, sub: dict[str, Any], x: Tensor, mask: Tensor) -> Tensor:
        """Attention, or one or more stacked feed-forward layers."""
        if sub["type"] == "FeedForward":
            for k in range(len(sub["widths"])):
                x = self.active(self.linear(f"{name}.linear.{k}", x))
            return self.linear(f"{name}.linear.{len(sub['widths'])}", x)
        query, key, value = (
            self.linear(f"{name}.{part}", x).view(*x.shape[:2], sub["heads"], -1).transpose(1, 2)
            for part in ("query", "key", "value")
        )
        seen = mask[:, None, None, :] > 0
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=seen)
        return self.linear(f"{name}.output", mixed.transpose(1, 2).flatten(2))

    def head(self, x: Tensor, mask: Tensor) -> Tensor:
        """From the last hidden states, batch x seq x width, to the output."""
        head = self.arch["head"]
        if head["kind"] == "none":
            return x
        if head["kind"] == "masked_lm":
            x = self.norm("head.norm", self.active(self.linear("head.transform", x)))
            return F.linear(x, self.weight("embedding.tokens"), self.weight("head.bias"))
        if head["kind"] == "span":
            return self.linear("head.output", self.dropout(x))
        real = mask[:, :, None].to(x.dtype)
        mean = (x * real).sum(dim=1) / real.sum(dim=1).clamp(min=1)
        pooled = x[:, 0] if head["pooling"] == "first" else mean
        if head["kind"] == "embedding":
            return F.normalize(pooled, dim=-1)
        return self.linear("head.output", self.dropout(pooled))

    def weight(self, name: str) -> Tensor:
        """A parameter by its name in the file."""
        return self.get_parameter(name.replace(".", "/"))

    def linear(self, name: str, x: Tensor) -> Tensor:
        """A linear map over the last axis."""
        return F.linear(x, self.weight(f"{name}.weight"), self.weight(f"{name}.bias"))

    def norm(self, name: str, x: Tensor) -> Tensor:
        """Layer norm over the last axis."""
        weight, bias = self.weight(f"{name}.weight"), self.weight(f"{name}.bias")
        return F.layer_norm(x, (x.shape[-1],), weight, bias, self.arch["norm_eps"])

    def active(self, x: Tensor) -> Tensor:
        """The activation function."""
        kind = self.arch["activation"]
        if kind == "relu":
            return F.relu(x)
        return F.gelu(x, approximate="tanh" if kind == "gelu_tanh" else "none")
