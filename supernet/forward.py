"""The forward pass of any architecture over named weights, shared by slices and extractions.

Shape letters: B batch, S sequence, D width, H heads, K head_dim, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import assert_never

import torch
import torch.nn.functional as F
from torch import Tensor

from fleetfit.architecture import Architecture, FeedForward, SelfAttention, SubLayer
from fleetfit.errors import InputError

__all__ = ["Batch", "Encoder", "Named", "Output", "Run", "activate", "pool", "runner"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    """Token ids with their mask and segments, each int64 of shape batch x seq."""

    input_ids: Tensor
    attention_mask: Tensor
    """1 for tokens, 0 for padding."""
    token_type_ids: Tensor
    padded: bool = True
    """Whether there may be padding; without it attention needs no mask."""

    @classmethod
    def of(cls, input_ids: Tensor, attention_mask: Tensor | None = None) -> Batch:
        """A batch in segment 0, without padding unless a mask is given."""
        mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        zeros = torch.zeros_like(input_ids)
        return cls(
            input_ids=input_ids,
            attention_mask=mask,
            token_type_ids=zeros,
            padded=attention_mask is not None,
        )

    def to(self, device: torch.device) -> Batch:
        """On another device."""
        return Batch(
            input_ids=self.input_ids.to(device),
            attention_mask=self.attention_mask.to(device),
            token_type_ids=self.token_type_ids.to(device),
            padded=self.padded,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Output:
    """What a forward pass gives."""

    hidden_states: tuple[Tensor, ...]
    """After the embedding and after each layer, each batch x seq x width of that place."""
    pooled: Tensor | None
    """batch x width, for heads that pool."""
    logits: Tensor | None
    """By head: batch x seq x vocab, batch x outputs, batch x seq x 2, or None."""
    scores: tuple[Tensor | None, ...] = ()
    """Attention scores of each layer before mask and softmax, batch x heads x seq x seq; None for
    a layer without attention. Empty unless asked for.
    """

    @property
    def hidden(self) -> Tensor:
        """The last hidden state, batch x seq x width."""
        return self.hidden_states[-1]


Named = Mapping[str, Tensor]
Run = Callable[[Named, Batch, bool], Output]
"""Weights, batch and whether with scores, to the output of one architecture."""


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

    def __call__(self, batch: Batch, *, scores: bool = False) -> Output:
        """From token ids to the head; ``scores``: with the attention scores."""
        states = [self.embed(batch)]
        found: list[Tensor | None] = []
        every = range(len(self.arch.layers))
        mask = _mask_of(batch.attention_mask) if batch.padded else None
        for state, kept in self._run(states[0], mask, every, scored=scores):
            states.append(state)
            found.append(kept)
        pooled, logits = self.head(states[-1], batch.attention_mask)
        return Output(
            hidden_states=tuple(states),
            pooled=pooled,
            logits=logits,
            scores=tuple(found) if scores else (),
        )

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
        chosen = range(len(self.arch.layers)) if which is None else which
        mask = _mask_of(attention_mask)
        return [state for state, _ in self._run(hidden_BSD, mask, chosen, scored=False)]

    def _run(
        self, hidden_BSD: Tensor, mask: Tensor | None, which: Sequence[int], *, scored: bool
    ) -> Iterator[tuple[Tensor, Tensor | None]]:
        """Hidden state and scores (None unless ``scored``) of each layer of ``which`` in turn."""
        for i in which:
            layer = self.arch.layers[i]
            scores = None
            if layer.projected:
                hidden_BSD = self._linear(f"layers.{i}.projection", hidden_BSD)
            for j, sub in enumerate(layer.sublayers):
                name = f"layers.{i}.{j}"
                if scored and isinstance(sub, SelfAttention):
                    change, scores = self._attention(name, sub, hidden_BSD, mask, scored=True)
                else:
                    change = self.sublayer(name, sub, hidden_BSD, mask)
                hidden_BSD = self.norm(f"{name}.norm", hidden_BSD + self._drop(change))
            yield hidden_BSD, scores

    def sublayer(self, name: str, sub: SubLayer, x_BSD: Tensor, mask: Tensor | None) -> Tensor:
        """What one sub-layer adds to the stream; ``mask`` is true where attention may look."""
        if isinstance(sub, SelfAttention):
            return self._attention(name, sub, x_BSD, mask, scored=False)[0]
        if isinstance(sub, FeedForward):
            for k in range(len(sub.widths)):
                x_BSD = activate(self.arch, self._linear(f"{name}.linear.{k}", x_BSD))
            return self._linear(f"{name}.linear.{len(sub.widths)}", x_BSD)
        raise InputError(
            "Sub-layers must be SelfAttention or FeedForward in this version, "
            f"but got {type(sub).__name__}."
        )

    def _attention(
        self, name: str, sub: SelfAttention, x_BSD: Tensor, mask: Tensor | None, *, scored: bool
    ) -> tuple[Tensor, Tensor | None]:
        if sub.score != "sdp":
            raise InputError(f"Attention scores must be 'sdp' in this version, got {sub.score!r}.")
        b, s, _ = x_BSD.shape
        query, key, value = (
            self._linear(f"{name}.{part}", x_BSD).view(b, s, sub.heads, -1).transpose(1, 2)
            for part in ("query", "key", "value")
        )
        mixed_BHSK, scores = _attend(query, key, value, mask, scored=scored)
        flat = mixed_BHSK.transpose(1, 2).reshape(b, s, -1)
        return self._linear(f"{name}.output", flat), scores

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


def runner(arch: Architecture) -> Run:
    """The forward pass as a function of tensors alone, for ``torch.compile``."""

    def run(weights: Named, batch: Batch, scored: bool) -> Output:
        return Encoder(arch=arch, weights=weights)(batch, scores=scored)

    return run


def _mask_of(attention_mask: Tensor) -> Tensor | None:
    """True where attention may look, batch x 1 x 1 x seq; None where that is everywhere."""
    blocked = attention_mask == 0
    return ~blocked[:, None, None, :] if bool(blocked.any()) else None


def _attend(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, *, scored: bool
) -> tuple[Tensor, Tensor | None]:
    """Scaled dot-product attention, all batch x heads x seq x head_dim, and its scores if asked.

    Scores are query @ key.T / sqrt(head_dim) (Vaswani et al. 2017, section 3.2.1), unmasked.
    """
    if not scored and (query.device.type != "cpu" or not query.requires_grad):
        return F.scaled_dot_product_attention(query, key, value, attn_mask=mask), None
    # On CPUs the backward of the fused kernel takes 2 to 5 times as long in bf16 at these lengths.
    scores = (query @ key.transpose(-1, -2)) * query.shape[-1] ** -0.5
    seen = scores if mask is None else scores.masked_fill(~mask, float("-inf"))
    return seen.softmax(dim=-1) @ value, scores if scored else None


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
