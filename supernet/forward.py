"""The forward pass of any architecture over named weights, shared by slices and extractions.

Shape letters: B batch, S sequence, D width, H heads, K head_dim, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import assert_never

import torch
import torch.nn.functional as F
from torch import Tensor

from fleetfit.architecture import Architecture, FeedForward, SelfAttention, SubLayer
from fleetfit.errors import InputError

__all__ = ["Batch", "Encoder", "Output", "activate", "pool"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    """Token ids with their mask and segments, each int64 of shape batch x seq."""

    input_ids: Tensor
    attention_mask: Tensor
    """1 for tokens, 0 for padding."""
    token_type_ids: Tensor

    @classmethod
    def of(cls, input_ids: Tensor, attention_mask: Tensor | None = None) -> Batch:
        """A batch in segment 0, without padding unless a mask is given."""
        mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        zeros = torch.zeros_like(input_ids)
        return cls(input_ids=input_ids, attention_mask=mask, token_type_ids=zeros)


@dataclass(frozen=True, kw_only=True, slots=True)
class Output:
    """What a forward pass gives."""

    hidden_states: tuple[Tensor, ...]
    """After the embedding and after each layer, each batch x seq x width of that place."""
    pooled: Tensor | None
    """batch x width, for heads that pool."""
    logits: Tensor | None
    """By head: batch x seq x vocab, batch x outputs, batch x seq x 2, or None."""

    @property
    def hidden(self) -> Tensor:
        """The last hidden state, batch x seq x width."""
        return self.hidden_states[-1]


Named = Mapping[str, Tensor]


@dataclass(frozen=True, kw_only=True, slots=True)
class Encoder:
    """An architecture with weights for it: a value, no state.

    Post-norm BERT: x = LN(x + sublayer(x)) (Devlin et al. 2019).
    """

    arch: Architecture
    weights: Named
    """Names as in ``fleetfit.weights``."""
    dropout: float = 0.0
    """Applied after the embedding, after each sub-layer and before the output."""

    def __call__(self, batch: Batch) -> Output:
        """From token ids to the head."""
        states = [self.embed(batch)]
        states += self.layers(states[0], batch.attention_mask)
        pooled, logits = self.head(states[-1], batch.attention_mask)
        return Output(hidden_states=tuple(states), pooled=pooled, logits=logits)

    def embed(self, batch: Batch) -> Tensor:
        """The sum of token, position and segment embeddings, normalised."""
        length = batch.input_ids.shape[1]
        limit = self.arch.embedding.max_positions
        if length > limit:
            raise InputError(f"A sequence must have at most {limit} tokens, but got {length}.")
        x_BSD = F.embedding(batch.input_ids, self.weights["embedding.tokens"])
        x_BSD = x_BSD + self.weights["embedding.positions"][:length]
        x_BSD = x_BSD + F.embedding(batch.token_type_ids, self.weights["embedding.segments"])
        return self._drop(self.norm("embedding.norm", x_BSD))

    def layers(
        self, hidden_BSD: Tensor, attention_mask: Tensor, which: Sequence[int] | None = None
    ) -> list[Tensor]:
        """The hidden states after each layer of ``which`` (all by default), hidden states in."""
        blocked = attention_mask == 0
        mask = ~blocked[:, None, None, :] if bool(blocked.any()) else None
        states = []
        for i in range(len(self.arch.layers)) if which is None else which:
            layer = self.arch.layers[i]
            if layer.projected:
                hidden_BSD = self._linear(f"layers.{i}.projection", hidden_BSD)
            for j, sub in enumerate(layer.sublayers):
                name = f"layers.{i}.{j}"
                change = self._drop(self.sublayer(name, sub, hidden_BSD, mask))
                hidden_BSD = self.norm(f"{name}.norm", hidden_BSD + change)
            states.append(hidden_BSD)
        return states

    def sublayer(self, name: str, sub: SubLayer, x_BSD: Tensor, mask: Tensor | None) -> Tensor:
        """What one sub-layer adds to the stream; ``mask`` is true where attention may look."""
        if isinstance(sub, SelfAttention):
            return self._attention(name, sub, x_BSD, mask)
        if isinstance(sub, FeedForward):
            for k in range(len(sub.widths)):
                x_BSD = activate(self.arch, self._linear(f"{name}.linear.{k}", x_BSD))
            return self._linear(f"{name}.linear.{len(sub.widths)}", x_BSD)
        raise InputError(
            "Sub-layers must be SelfAttention or FeedForward in this version, "
            f"but got {type(sub).__name__}."
        )

    def _attention(
        self, name: str, sub: SelfAttention, x_BSD: Tensor, mask: Tensor | None
    ) -> Tensor:
        if sub.score != "sdp":
            raise InputError(f"Attention scores must be 'sdp' in this version, got {sub.score!r}.")
        b, s, _ = x_BSD.shape
        query, key, value = (
            self._linear(f"{name}.{part}", x_BSD).view(b, s, sub.heads, -1).transpose(1, 2)
            for part in ("query", "key", "value")
        )
        mixed_BHSK = _attend(query, key, value, mask)
        return self._linear(f"{name}.output", mixed_BHSK.transpose(1, 2).reshape(b, s, -1))

    def head(self, x_BSD: Tensor, mask: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """Pooled state and logits of the head, either None where it has none."""
        head = self.arch.head
        match head.kind:
            case "none":
                return None, None
            case "masked_lm":
                x = activate(self.arch, self._linear("head.transform", x_BSD))
                x = self.norm("head.norm", x)
                return None, F.linear(
                    x, self.weights["embedding.tokens"], self.weights["head.bias"]
                )
            case "span":
                return None, self._linear("head.output", self._drop(x_BSD))
            case "classification":
                pooled = pool(x_BSD, mask, str(head.pooling))
                return pooled, self._linear("head.output", self._drop(pooled))
            case "embedding":
                return F.normalize(pool(x_BSD, mask, str(head.pooling)), dim=-1), None
            case _:
                assert_never(head.kind)

    def _drop(self, x: Tensor) -> Tensor:
        return F.dropout(x, self.dropout) if self.dropout > 0 else x

    def _linear(self, name: str, x: Tensor) -> Tensor:
        return F.linear(x, self.weights[f"{name}.weight"], self.weights[f"{name}.bias"])

    def norm(self, name: str, x: Tensor) -> Tensor:
        """Layer norm over the last axis."""
        weight, bias = self.weights[f"{name}.weight"], self.weights[f"{name}.bias"]
        return F.layer_norm(x, (x.shape[-1],), weight, bias, self.arch.norm_eps)


def _attend(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
    """Scaled dot-product attention, all batch x heads x seq x head_dim."""
    if query.device.type != "cpu" or not query.requires_grad:
        return F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
    # On CPUs the backward of the fused kernel takes 2 to 5 times as long in bf16 at these lengths.
    scores = (query @ key.transpose(-1, -2)) * query.shape[-1] ** -0.5
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    mixed: Tensor = scores.softmax(dim=-1) @ value
    return mixed


def activate(arch: Architecture, x: Tensor) -> Tensor:
    """The activation function of ``arch``."""
    match arch.activation:
        case "gelu":
            return F.gelu(x)
        case "gelu_tanh":
            return F.gelu(x, approximate="tanh")
        case "relu":
            return F.relu(x)
        case _:
            assert_never(arch.activation)


def pool(hidden_BSD: Tensor, attention_mask: Tensor, pooling: str) -> Tensor:
    """Mean over the tokens that are not padding, or the first token: batch x width."""
    if pooling == "first":
        return hidden_BSD[:, 0]
    mask = attention_mask[:, :, None].to(hidden_BSD.dtype)
    return (hidden_BSD * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1)
