"""A BERT checkpoint of transformers as a supernet whose largest member equals it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
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
from supernet.spaces import (
    CheckpointConfig,
    Choices,
    ElasticChoices,
    build_space,
    name_of_space,
)
from supernet.text import ids_of, read_tokens

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
_SIZES = (
    "hidden_size",
    "num_attention_heads",
    "intermediate_size",
    "num_hidden_layers",
    "vocab_size",
    "max_position_embeddings",
    "type_vocab_size",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """A BERT checkpoint in this project's terms."""

    name: str
    """Of its directory."""
    architecture: Architecture
    weights: dict[str, Tensor]
    """Names of ``fleetfit.weights``, float32; with a masked-LM head where there is one."""
    pooling: Literal["mean", "first"]
    max_length: int
    tokenizer_path: Path


def read_source(path: Path) -> Source:
    """Read a checkpoint directory of model type ``bert``; raises InputError for any other."""
    config = _read_json(path / "config.json")
    kind = config.get("model_type")
    if kind != "bert":
        raise InputError(
            f"A checkpoint's model type must be 'bert', but {path} holds {_shown(kind)}; convert a "
            "BERT checkpoint (config.json, model.safetensors, tokenizer.json)."
        )
    arch = _architecture(config, path)
    raw = read_safetensors(path / "model.safetensors")
    weights = _weights(arch, {_modern(name): value for name, value in raw.items()}, path)
    tokenizer = path / "tokenizer.json"
    _check_tokenizer(tokenizer, arch.embedding.vocab_size)
    extra = path / "sentence_bert_config.json"
    positions = arch.embedding.max_positions
    limit = positions
    if extra.is_file():
        limit = _whole(_read_json(extra), "max_seq_length", extra, default=positions)
    pooling = path / "1_Pooling" / "config.json"
    mean = pooling.is_file() and bool(_read_json(pooling).get("pooling_mode_mean_tokens"))
    return Source(
        name=path.resolve().name,
        architecture=arch,
        weights=weights,
        pooling="mean" if mean else "first",
        max_length=min(limit, positions),
        tokenizer_path=tokenizer,
    )


def _modern(name: str) -> str:
    """The name that transformers gives a tensor today: older files say gamma and beta in norms."""
    name = name.removeprefix("bert.")
    for old, new in ((".gamma", ".weight"), (".beta", ".bias")):
        if name.endswith(old):
            return name.removesuffix(old) + new
    return name


def _check_tokenizer(path: Path, vocab_size: int) -> None:
    if not path.is_file():
        raise InputError(f"A checkpoint must hold tokenizer.json, but {path.parent} does not.")
    tokenizer = load_tokenizer(path)
    needed = ids_of(tokenizer)
    if needed > vocab_size:
        raise InputError(
            f"{path} must have no more than the {vocab_size} entries of the model's vocabulary, "
            f"but needs {needed}; give the tokenizer that the model was trained with."
        )
    ends = [tokenizer.token_to_id(name) for name in ("[CLS]", "[SEP]")]
    if tokenizer.encode("").ids != ends:
        raise InputError(
            f"{path} must put [CLS] before a text and [SEP] after it, but does not; give the "
            "tokenizer that the model was trained with."
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class About:
    """What the configuration of a converted checkpoint says beside its sizes."""

    choices: Choices | None = None
    """They name the space; those of the elastic one that paid where not given."""
    licences: dict[str, str] = field(default_factory=dict)
    provenance: dict[str, str] = field(default_factory=dict)


def convert(
    source: Source,
    out: Path,
    *,
    text: Iterable[str],
    about: About | None = None,
    progress: Callable[[int, int, str], None] | None = None,
) -> None:
    """Convert ``source`` into a supernet directory ``out``.

    ``text``: lines to judge importance by; the first 16 windows of 128 tokens are used.
    ``progress`` is told of each stage: how many of four are done, and what comes.
    """
    about = about or About()
    tell = progress or (lambda done, total, note: None)
    arch = source.architecture
    choices = about.choices or ElasticChoices.paying(arch)
    space = build_space(arch, choices)
    tell(1, 4, "reading text")
    stream = read_tokens(text, load_tokenizer(source.tokenizer_path), limit=16 * 126)
    seq_len = min(128, arch.embedding.max_positions, len(stream.tokens) + 2)
    rows = range(min(16, stream.windows(seq_len)))
    batch = Batch.of(torch.from_numpy(stream.batch(list(rows), seq_len)))
    tell(2, 4, "judging importance")
    weights, order = permute(arch, source.weights, [batch])
    config = CheckpointConfig(
        source=arch,
        space_name=name_of_space(choices),
        choices=choices,
        pooling=source.pooling,
        max_length=source.max_length,
        licences=about.licences,
        provenance={"source": source.name} | about.provenance,
    )
    tell(3, 4, "writing")
    checkpoint.save(
        out, Supernet(space, weights), config, like=(source.tokenizer_path, order.tolist())
    )
    tell(4, 4, "done")


def _architecture(config: dict[str, Any], path: Path) -> Architecture:
    positions = config.get("position_embedding_type", "absolute")
    given = config.get("hidden_act", "gelu")
    activation = _ACTIVATIONS.get(given) if isinstance(given, str) else None
    if positions != "absolute" or activation is None:
        raise InputError(
            "A BERT checkpoint must have absolute positions and gelu, gelu_new or relu, but "
            f"{path} has {_shown(positions)} and {_shown(given)}."
        )
    file = path / "config.json"
    size = {name: _whole(config, name, file) for name in _SIZES}
    width, heads = size["hidden_size"], size["num_attention_heads"]
    if width % heads:
        raise InputError(f"{file} must give heads that divide hidden_size, but {heads} of {width}.")
    eps = config.get("layer_norm_eps", 1e-12)
    if isinstance(eps, bool) or not isinstance(eps, int | float) or not 0 < eps < 1:
        raise InputError(f"{file} must give layer_norm_eps between 0 and 1, but {_shown(eps)}.")
    sublayers = (
        SelfAttention(heads=heads, head_dim=width // heads),
        FeedForward(widths=(size["intermediate_size"],)),
    )
    return Architecture(
        embedding=Embedding(
            vocab_size=size["vocab_size"],
            width=width,
            max_positions=size["max_position_embeddings"],
            segments=size["type_vocab_size"],
        ),
        layers=tuple(
            Layer(width=width, sublayers=sublayers, projected=False, source=i)
            for i in range(size["num_hidden_layers"])
        ),
        activation=activation,
        norm_eps=float(eps),
    )


def _whole(config: dict[str, Any], name: str, file: Path, *, default: int | None = None) -> int:
    """A size of a configuration; null and absent are ``default`` where there is one."""
    value = config.get(name)
    if value is None and default is not None:
        return default
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InputError(
            f"{file} must give {name} as a whole number >= 1, but gives {_shown(value)}."
        )
    return value


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
            found = _sizes(raw[theirs].shape) if theirs in raw else "nothing"
            raise InputError(
                f"{path}/model.safetensors must hold {theirs} of shape {_sizes(shapes[ours])}, "
                f"but holds {found}."
            )
        weights[ours] = raw[theirs].float()
    return weights


def _sizes(shape: Iterable[int]) -> str:
    return " x ".join(map(str, shape)) or "a single number"


def _shown(value: object) -> str:
    """A value of a JSON file as a person reads it."""
    if value is None:
        return "nothing"
    return f"'{value}'" if isinstance(value, str) else json.dumps(value)[:80]


def _read_json(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(read_text(path, f"A checkpoint's {path.name}"))
    except InputError:
        raise
    except (ValueError, RecursionError) as exc:
        raise InputError(f"{path} must be valid JSON, but: {exc}.") from exc
    if not isinstance(data, dict):
        raise InputError(f"{path} must be a JSON object, but is not.")
    return data
