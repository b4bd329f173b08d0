"""The architecture language: one frozen value describes any encoder of the five papers."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Literal, assert_never

from fleetfit.codec import check_literals, digest
from fleetfit.errors import InputError

__all__ = [
    "Architecture",
    "Embedding",
    "FeedForward",
    "Head",
    "Layer",
    "LinearTransform",
    "SelfAttention",
    "SeparableConv",
    "SpanConv",
    "SubLayer",
]


def _positive(owner: object, *names: str) -> None:
    for name in names:
        value = getattr(owner, name)
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            kind = type(owner).__name__
            raise InputError(f"{kind}.{name} must be a whole number >= 1, but got {value!r}.")


@dataclass(frozen=True, kw_only=True, slots=True)
class Embedding:
    """Token, position and segment embeddings, summed and normalised."""

    vocab_size: int
    width: int
    max_positions: int
    segments: int
    """Number of segment (token type) ids."""
    positions: Literal["absolute"] = "absolute"

    def __post_init__(self) -> None:
        """Sizes are at least 1."""
        check_literals(self)
        _positive(self, "vocab_size", "width", "max_positions", "segments")


@dataclass(frozen=True, kw_only=True, slots=True)
class Head:
    """What stands on the last layer.

    ``masked_lm``: dense to the embedding width, GELU, norm, the tied word embeddings, a bias.
    ``classification``: one linear map of the pooled state to ``outputs`` logits.
    ``span``: one linear map of each state to start and end logits (``outputs`` 2).
    ``embedding``: the pooled state, scaled to length 1. ``none``: the hidden states.
    """

    kind: Literal["none", "masked_lm", "classification", "span", "embedding"] = "none"
    pooling: Literal["mean", "first"] | None = None
    outputs: int = 0

    def __post_init__(self) -> None:
        """Only classification and embedding pool; only classification and span have outputs."""
        check_literals(self)
        if (self.kind in ("classification", "embedding")) != (self.pooling is not None):
            raise InputError(
                "Head.pooling must be given for classification and embedding heads only, "
                f"but got {self.pooling!r} for {self.kind!r}."
            )
        if (self.kind in ("classification", "span")) != (self.outputs >= 1):
            raise InputError(
                "Head.outputs must be >= 1 for classification and span heads and 0 for others, "
                f"but got {self.outputs} for {self.kind!r}."
            )

    @property
    def output(self) -> Literal["hidden", "logits", "embedding"]:
        """The name of the one output of an exported network, float32."""
        match self.kind:
            case "none":
                return "hidden"
            case "embedding":
                return "embedding"
            case "masked_lm" | "classification" | "span":
                return "logits"
            case _:
                assert_never(self.kind)


@dataclass(frozen=True, kw_only=True, slots=True)
class SelfAttention:
    """Multi-head self-attention; heads x head_dim need not equal the width."""

    TAGGED: ClassVar[bool] = True
    heads: int
    head_dim: int
    score: Literal["sdp", "wma"] = "sdp"
    """sdp: scaled dot product; wma: weighted multiplicative (FlexiBERT)."""

    def __post_init__(self) -> None:
        """Sizes are at least 1."""
        check_literals(self)
        _positive(self, "heads", "head_dim")


@dataclass(frozen=True, kw_only=True, slots=True)
class FeedForward:
    """Width -> widths[0] -> ... -> widths[-1] -> width, all under one residual."""

    TAGGED: ClassVar[bool] = True
    widths: tuple[int, ...]

    def __post_init__(self) -> None:
        """At least one inner layer, each at least 1 wide."""
        if not self.widths or any(not isinstance(w, int) or w < 1 for w in self.widths):
            raise InputError(f"FeedForward.widths must be whole numbers >= 1, got {self.widths}.")


@dataclass(frozen=True, kw_only=True, slots=True)
class SeparableConv:
    """Depthwise separable convolution over the sequence (NAS-BERT)."""

    TAGGED: ClassVar[bool] = True
    kernel: int

    def __post_init__(self) -> None:
        """Sizes are at least 1."""
        _positive(self, "kernel")


@dataclass(frozen=True, kw_only=True, slots=True)
class LinearTransform:
    """Fixed Fourier or cosine mixing of the sequence (FlexiBERT)."""

    TAGGED: ClassVar[bool] = True
    kind: Literal["dft", "dct"]
    heads: int
    head_dim: int

    def __post_init__(self) -> None:
        """Sizes are at least 1."""
        check_literals(self)
        _positive(self, "heads", "head_dim")


@dataclass(frozen=True, kw_only=True, slots=True)
class SpanConv:
    """Span-based dynamic convolution (FlexiBERT)."""

    TAGGED: ClassVar[bool] = True
    kernel: int
    heads: int

    def __post_init__(self) -> None:
        """Sizes are at least 1."""
        _positive(self, "kernel", "heads")


SubLayer = SelfAttention | FeedForward | SeparableConv | LinearTransform | SpanConv


@dataclass(frozen=True, kw_only=True, slots=True)
class Layer:
    """Sub-layers at one width, each with its own residual and norm."""

    width: int
    sublayers: tuple[SubLayer, ...]
    projected: bool
    """A linear map from the width before to this width stands before this layer."""
    source: int
    """The supernet layer that its weights come from, from 0."""

    def __post_init__(self) -> None:
        """A width, at least one sub-layer, a source; ``projected`` is a bool, not 0 or 1."""
        _positive(self, "width")
        if type(self.projected) is not bool or type(self.source) is not int:
            raise InputError(
                "Layer.projected must be true or false and Layer.source a whole number, "
                f"but got {self.projected!r} and {self.source!r}."
            )
        if not self.sublayers or self.source < 0:
            raise InputError(
                "A layer must have sub-layers and a source >= 0, "
                f"but got {len(self.sublayers)} sub-layers and source {self.source}."
            )


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """A whole encoder. ``id`` hashes everything; ``cost_id`` leaves out where weights come from."""

    embedding: Embedding
    layers: tuple[Layer, ...]
    head: Head = Head()
    activation: Literal["gelu", "gelu_tanh", "relu"] = "gelu"
    """gelu is the exact one (erf)."""
    norm_eps: float = 1e-12

    def __post_init__(self) -> None:
        """Widths change only where a layer is projected."""
        check_literals(self)
        if not self.layers:
            raise InputError("An architecture must have at least one layer, but got none.")
        if not 0 < self.norm_eps < 1:
            raise InputError(f"`0 < norm_eps < 1` must hold, but got {self.norm_eps}.")
        before = self.embedding.width
        for i, layer in enumerate(self.layers):
            if layer.width != before and not layer.projected:
                raise InputError(
                    f"Layer {i} must be projected where the width changes, "
                    f"but it goes from {before} to {layer.width} without."
                )
            before = layer.width

    @property
    def width(self) -> int:
        """Width of the last hidden state."""
        return self.layers[-1].width

    @cached_property
    def id(self) -> str:
        """16 hexadecimal digits over everything: quality and weights belong to it."""
        return digest(self)

    @cached_property
    def cost_id(self) -> str:
        """16 hexadecimal digits over all but ``Layer.source``: cost belongs to it."""
        bare = tuple(dataclasses.replace(layer, source=0) for layer in self.layers)
        return digest(dataclasses.replace(self, layers=bare))

    def with_head(self, head: Head) -> Architecture:
        """The same body under another head."""
        return dataclasses.replace(self, head=head)

    def summary(self) -> str:
        """One line for tables: depth, widths, heads, feed-forward widths."""
        layers = self.layers
        attention = [s.heads for y in layers for s in y.sublayers if isinstance(s, SelfAttention)]
        inner = [sum(s.widths) for y in layers for s in y.sublayers if isinstance(s, FeedForward)]
        return (
            f"{len(layers)}L e{self.embedding.width} d{_runs([y.width for y in layers])} "
            f"h{_runs(attention)} f{_runs(inner)}"
        )


def _runs(values: list[int]) -> str:
    """Short form of a list: one number where all are equal."""
    return str(values[0]) if len(set(values)) == 1 else ",".join(map(str, values))
