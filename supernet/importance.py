"""Reordering the source so that a prefix slice keeps what matters most; its function unchanged.

Scores are mean absolute contributions over a calibration text, read off the running source: the
deviation of each residual dimension, the share each head and each ffn unit adds to the stream.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from fleetfit.architecture import Architecture, FeedForward, SelfAttention, SubLayer
from supernet.forward import Batch, Encoder, activate

__all__ = ["permute", "reorder_stream", "stream_order"]

Named = dict[str, Tensor]


def permute(arch: Architecture, weights: Named, batches: Sequence[Batch]) -> tuple[Named, Tensor]:
    """The same network with residual stream, heads and ffn units in order of importance.

    Returns the reordered weights and the order of the stream: new dimension i is old dimension
    ``order[i]``, so hidden states of the result are the old ones under ``[..., order]``.
    """
    moved = dict(weights)
    order = stream_order(arch, weights, batches)
    for (i, j), scores in _scores(arch, weights, batches).items():
        sub, name = arch.layers[i].sublayers[j], f"layers.{i}.{j}"
        if isinstance(sub, SelfAttention):
            _reorder_heads(moved, name, sub, scores.argsort(descending=True))
        else:
            _reorder_inner(moved, name, scores.argsort(descending=True))
    reorder_stream(moved, order)
    return moved, order


def stream_order(arch: Architecture, weights: Named, batches: Sequence[Batch]) -> Tensor:
    """Residual dimensions by the mean over layers of their standard deviation, largest first."""
    encoder = Encoder(arch=arch, weights=weights)
    total = torch.zeros(arch.width)
    with torch.no_grad():
        for batch in batches:
            for state in encoder(batch).hidden_states:
                total += state.flatten(0, 1).std(dim=0)
    return total.argsort(descending=True, stable=True)


def _scores(
    arch: Architecture, weights: Named, batches: Sequence[Batch]
) -> dict[tuple[int, int], Tensor]:
    """(layer, sub-layer) to the mean norm of what each of its heads or ffn units adds."""
    if not batches:
        raise ValueError("importance needs at least one batch")
    encoder = Encoder(arch=arch, weights=weights)
    totals: dict[tuple[int, int], Tensor] = {}
    with torch.no_grad():
        for batch in batches:
            state = encoder.embed(batch)
            for i, layer in enumerate(arch.layers):
                for j, sub in enumerate(layer.sublayers):
                    name = f"layers.{i}.{j}"
                    score = _score(encoder, name, sub, state)
                    if score is not None:
                        totals[i, j] = totals[i, j] + score if (i, j) in totals else score
                    change = encoder.sublayer(name, sub, state, None)
                    state = encoder.norm(f"{name}.norm", state + change)
    return totals


def _score(encoder: Encoder, name: str, sub: SubLayer, state: Tensor) -> Tensor | None:
    """The share of each head or ffn unit of one sub-layer; None for one without an order."""
    weights = encoder.weights
    if isinstance(sub, SelfAttention):
        return _head_share(weights, name, sub, state)
    if isinstance(sub, FeedForward) and len(sub.widths) == 1:
        inner = F.linear(state, weights[f"{name}.linear.0.weight"])
        active = activate(encoder.arch, inner + weights[f"{name}.linear.0.bias"])
        leaving = weights[f"{name}.linear.1.weight"].norm(dim=0)
        share: Tensor = active.abs().mean(dim=(0, 1)) * leaving
        return share
    return None


def _head_share(
    weights: Mapping[str, Tensor], name: str, sub: SelfAttention, state: Tensor
) -> Tensor:
    b, s, _ = state.shape
    query, key, value = (
        F.linear(state, weights[f"{name}.{p}.weight"], weights[f"{name}.{p}.bias"])
        .view(b, s, sub.heads, -1)
        .transpose(1, 2)
        for p in ("query", "key", "value")
    )
    mixed_BHSK = F.scaled_dot_product_attention(query, key, value)
    out_DHK = weights[f"{name}.output.weight"].view(-1, sub.heads, sub.head_dim)
    added = torch.einsum("bhsk,dhk->bhsd", mixed_BHSK, out_DHK)
    share: Tensor = added.norm(dim=-1).mean(dim=(0, 2))
    return share


def _reorder_heads(moved: Named, name: str, sub: SelfAttention, order: Tensor) -> None:
    rows = (order[:, None] * sub.head_dim + torch.arange(sub.head_dim)).flatten()
    for part in ("query", "key", "value"):
        for kind in ("weight", "bias"):
            moved[f"{name}.{part}.{kind}"] = moved[f"{name}.{part}.{kind}"][rows]
    moved[f"{name}.output.weight"] = moved[f"{name}.output.weight"][:, rows]


def _reorder_inner(moved: Named, name: str, order: Tensor) -> None:
    for kind in ("weight", "bias"):
        moved[f"{name}.linear.0.{kind}"] = moved[f"{name}.linear.0.{kind}"][order]
    moved[f"{name}.linear.1.weight"] = moved[f"{name}.linear.1.weight"][:, order]


_STREAM_ROWS = ("output.weight", "linear.1.weight", "output.bias", "linear.1.bias")
_STREAM_COLUMNS = ("query.weight", "key.weight", "value.weight", "linear.0.weight")


def reorder_stream(moved: Named, order: Tensor) -> None:
    """Reorder every axis that lies along the residual stream, in place; see ``permute``."""
    for name, value in moved.items():
        if name.startswith("embedding.") or ".norm." in name or name == "head.transform.bias":
            moved[name] = value[..., order]
        elif name == "head.transform.weight":
            moved[name] = value[order][:, order]
        elif name.endswith(_STREAM_ROWS):
            moved[name] = value[order]
        elif name.endswith(_STREAM_COLUMNS):
            moved[name] = value[:, order]
