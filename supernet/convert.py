"""A BERT checkpoint of transformers as a supernet whose largest member equals it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from fleetfit.architecture import (
    Architecture,
    Embedding,
    FeedForward,
    Head,
    Layer,
    SelfAttention,
)
from fleetfit.errors import InputError
from fleetfit.files import read_text
from fleetfit.weights import weight_shapes
from supernet import checkpoint
from supernet.checkpoint import load_tokenizer, read_safetensors
from supernet.forward import Batch
from supernet.importance import permute
from supernet.model import Supernet
from supernet.spaces import CheckpointConfig, ElasticChoices, ElasticSpace
from supernet.text import read_tokens

__all__ = ["About", "Source", "convert", "read_source"]

Activation = Literal["gelu", "gelu_tanh", "relu"]
_ACTIVATIONS: dict[str, Activation] = {
    "gelu": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "relu": "relu",
}
_SUBLAYERS = {
    "0.query": "attention.self.query",
    "0.key": "attention.self.key",
    "0.value": "attention.self.value",
    "0.output": "attention.output.dense",
    "0.norm": "attention.output.LayerNorm",
    "1.linear.0": "intermediate.dense",
    "1.linear.1": "output.dense",
    "1.norm": "output.LayerNorm",
}
_EMBEDDING = {
    "embedding.tokens": "embeddings.word_embeddings.weight",
    "embedding.positions": "embeddings.position_embeddings.weight",
    "embedding.segments": "embeddings.token_type_embeddings.weight",
    "embedding.norm.weight": "embeddings.LayerNorm.weight",
    "embedding.norm.bias": "embeddings.LayerNorm.bias",
}
_LM_HEAD = {
    "head.transform.weight": "cls.predictions.transform.dense.weight",
    "head.transform.bias": "cls.predictions.transform.dense.bias",
    "head.norm.weight": "cls.predictions.transform.LayerNorm.weight",
    "head.norm.bias": "cls.predictions.transform.LayerNorm.bias",
    "head.bias": "cls.predictions.bias",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """A BERT checkpoint in this project's terms."""

    architecture: Architecture
    weights: dict[str, Tensor]
    """Names of ``fleetfit.weights``, float32; with a masked-LM head where there is one."""
    pooling: str
    max_length: int
    tokenizer_path: Path


def read_source(path: Path) -> Source:
    """Read a checkpoint directory of model type ``bert``; raises InputError for any other."""
    config = _read_json(path / "config.json")
    kind = config.get("model_type")
    if kind != "bert":
        raise InputError(
            f"A checkpoint's model type must be 'bert', but {path} holds {kind!r}; convert a BERT "
            "checkpoint (config.json, model.safetensors, tokenizer.json)."
        )
    arch = _architecture(config, path)
    raw = read_safetensors(path / "model.safetensors")
    raw = {name.removeprefix("bert."): value for name, value in raw.items()}
    tokenizer = path / "tokenizer.json"
    if not tokenizer.is_file():
        raise InputError(f"A checkpoint must hold tokenizer.json, but {path} does not.")
    limit = _optional(path / "sentence_bert_config.json").get("max_seq_length")
    pooled = _optional(path / "1_Pooling" / "config.json").get("pooling_mode_mean_tokens", False)
    return Source(
        architecture=arch,
        weights=_weights(arch, raw, path),
        pooling="mean" if pooled else "first",
        max_length=min(int(limit or arch.embedding.max_positions), arch.embedding.max_positions),
        tokenizer_path=tokenizer,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class About:
    """What the configuration of a converted checkpoint says of its origin."""

    licences: dict[str, str] = field(default_factory=dict)
    provenance: dict[str, str] = field(default_factory=dict)


def convert(
    path: Path,
    out: Path,
    *,
    text: Iterable[str],
    choices: ElasticChoices | None = None,
    about: About | None = None,
) -> None:
    """Convert the checkpoint ``path`` into a supernet directory ``out``.

    ``text``: lines to judge importance by; the first 16 windows of 128 tokens are used.
    ``choices``: the default ones scaled to the source where not given.
    """
    about = about or About()
    source = read_source(path)
    space = ElasticSpace(
        source=source.architecture,
        choices=choices or ElasticChoices.scaled_to(source.architecture),
    )
    stream = read_tokens(text, load_tokenizer(source.tokenizer_path), limit=16 * 126)
    seq_len = min(128, source.architecture.embedding.max_positions, len(stream.tokens) + 2)
    rows = range(min(16, stream.windows(seq_len)))
    batch = Batch.of(torch.from_numpy(stream.batch(list(rows), seq_len)))
    weights, order = permute(source.architecture, source.weights, [batch])
    config = CheckpointConfig(
        source=source.architecture,
        choices=space.choices,
        pooling="mean" if source.pooling == "mean" else "first",
        max_length=source.max_length,
        licences=about.licences,
        provenance=about.provenance | {"source": path.resolve().name},
    )
    checkpoint.save(
        out, Supernet(space, weights), config, like=(source.tokenizer_path, order.tolist())
    )


def _architecture(config: dict[str, Any], path: Path) -> Architecture:
    positions = config.get("position_embedding_type", "absolute")
    activation = _ACTIVATIONS.get(str(config.get("hidden_act", "gelu")))
    if positions != "absolute" or activation is None:
        raise InputError(
            "A BERT checkpoint must have absolute positions and gelu, gelu_new or relu, but "
            f"{path} has {positions!r} and {config.get('hidden_act')!r}."
        )
    try:
        width, heads = int(config["hidden_size"]), int(config["num_attention_heads"])
        ffn, depth = int(config["intermediate_size"]), int(config["num_hidden_layers"])
        embedding = Embedding(
            vocab_size=int(config["vocab_size"]),
            width=width,
            max_positions=int(config["max_position_embeddings"]),
            segments=int(config["type_vocab_size"]),
        )
        sublayers = (
            SelfAttention(heads=heads, head_dim=width // heads),
            FeedForward(widths=(ffn,)),
        )
        layers = tuple(
            Layer(width=width, sublayers=sublayers, projected=False, source=i) for i in range(depth)
        )
        eps = float(config.get("layer_norm_eps", 1e-12))
    except (KeyError, TypeError, ValueError, ZeroDivisionError) as exc:
        raise InputError(f"{path}/config.json must give BERT's sizes, but: {exc!r}.") from exc
    return Architecture(
        embedding=embedding,
        layers=layers,
        activation=activation,
        norm_eps=eps,
    )


def _weights(arch: Architecture, raw: dict[str, Tensor], path: Path) -> dict[str, Tensor]:
    names = dict(_EMBEDDING)
    for i in range(len(arch.layers)):
        for ours, theirs in _SUBLAYERS.items():
            for part in ("weight", "bias"):
                names[f"layers.{i}.{ours}.{part}"] = f"encoder.layer.{i}.{theirs}.{part}"
    if all(theirs in raw for theirs in _LM_HEAD.values()):
        names |= _LM_HEAD
    shapes = weight_shapes(arch.with_head(Head(kind="masked_lm")))
    weights = {}
    for ours, theirs in names.items():
        if theirs not in raw or tuple(raw[theirs].shape) != shapes[ours]:
            found = tuple(raw[theirs].shape) if theirs in raw else "nothing"
            raise InputError(
                f"{path}/model.safetensors must hold {theirs} of shape {shapes[ours]}, "
                f"but holds {found}."
            )
        weights[ours] = raw[theirs].float()
    return weights


def _read_json(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(read_text(path, "A checkpoint's config.json"))
    except ValueError as exc:
        raise InputError(f"{path} must be valid JSON, but: {exc}.") from exc
    if not isinstance(data, dict):
        raise InputError(f"{path} must be a JSON object, but is not.")
    return data


def _optional(path: Path) -> dict[str, Any]:
    return _read_json(path) if path.is_file() else {}
