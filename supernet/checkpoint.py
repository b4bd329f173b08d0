"""A supernet on disk: weights, configuration with provenance, tokenizer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from safetensors.torch import save as to_bytes

from fleetfit.architecture import Head
from fleetfit.codec import dumps
from fleetfit.errors import InputError
from fleetfit.files import new_directory, read_text, sha256_of, write_bytes, write_text
from supernet.model import Supernet, tensor_shapes
from supernet.spaces import CheckpointConfig, read_config

__all__ = ["Checkpoint", "load", "load_tokenizer", "read_safetensors", "save", "write_config"]

_WEIGHTS, _CONFIG, _TOKENIZER = "supernet.safetensors", "config.json", "tokenizer.json"


@dataclass(frozen=True, kw_only=True, slots=True)
class Checkpoint:
    """A supernet with its configuration, tokenizer file and the order of its residual stream."""

    supernet: Supernet
    config: CheckpointConfig
    tokenizer_path: Path
    stream_order: tuple[int, ...]
    """Dimension i of the stream is dimension ``stream_order[i]`` of the source checkpoint."""
    sha256: str
    """Hash of the weights file; names this checkpoint in caches."""


def save(
    path: Path,
    supernet: Supernet,
    config: CheckpointConfig,
    *,
    like: tuple[Path, Sequence[int]],
    dtype: torch.dtype = torch.float32,
) -> None:
    """Write a checkpoint directory; ``path`` must be new or empty.

    ``like``: the tokenizer file to copy and the order of the residual stream.
    """
    if supernet.task != _task_head(config):
        raise ValueError("config.task must describe the task head of the supernet")
    tokenizer, order = like
    words = read_text(tokenizer, "A tokenizer")
    tensors = {n: t.detach().to(dtype).contiguous() for n, t in supernet.tensors().items()}
    tensors["stream_order"] = torch.as_tensor(np.asarray(order), dtype=torch.int32)
    with new_directory(path) as new:
        write_bytes(new / _WEIGHTS, to_bytes(tensors))
        write_config(new, config)
        write_text(new / _TOKENIZER, words)


def write_config(path: Path, config: CheckpointConfig) -> None:
    """Replace ``config.json`` of the checkpoint directory ``path``, atomically."""
    write_text(path / _CONFIG, dumps(config) + "\n")


def load(path: Path) -> Checkpoint:
    """Read a checkpoint directory; raises InputError where a file is missing or damaged."""
    config = read_config(path)
    tensors = read_safetensors(path / _WEIGHTS)
    order = tensors.pop("stream_order", None)
    width = config.source.width
    if order is None or order.shape != (width,) or sorted(order.tolist()) != list(range(width)):
        raise InputError(f"{path / _WEIGHTS} must hold the order of the stream, but does not.")
    supernet = _build(config, {n: t.float() for n, t in tensors.items()}, path)
    if not (path / _TOKENIZER).is_file():
        raise InputError(f"A checkpoint must hold {_TOKENIZER}, but {path} does not.")
    return Checkpoint(
        supernet=supernet,
        config=config,
        tokenizer_path=path / _TOKENIZER,
        stream_order=tuple(order.tolist()),
        sha256=sha256_of(path / _WEIGHTS),
    )


def _task_head(config: CheckpointConfig) -> Head | None:
    return None if config.task is None else config.task.head


def _build(config: CheckpointConfig, tensors: dict[str, torch.Tensor], path: Path) -> Supernet:
    task = _task_head(config)
    shapes = tensor_shapes(config.source, task)  # before anything of these sizes is allocated
    odd = sorted(shapes.keys() ^ tensors.keys())
    odd += [n for n, shape in shapes.items() if n in tensors and tensors[n].shape != shape]
    if odd:
        raise InputError(
            f"The weights in {path} must fit its config.json, but {odd[0]!r} does not; "
            "convert or copy the checkpoint again."
        )
    supernet = Supernet(config.space, tensors, task=task)
    with torch.no_grad():
        for name, parameter in supernet.tensors().items():
            parameter.copy_(tensors[name])
    return supernet


def read_safetensors(path: Path) -> dict[str, torch.Tensor]:
    """All tensors of a safetensors file; raises InputError for a missing or damaged one."""
    if not path.is_file():
        raise InputError(f"{path} must be an existing safetensors file, but it is not there.")
    try:
        tensors: dict[str, torch.Tensor] = load_file(path)
    except (SafetensorError, OSError, ValueError) as exc:
        raise InputError(
            f"{path} must be a whole safetensors file, but: {exc}; fetch or copy it again."
        ) from exc
    return tensors


def load_tokenizer(path: Path) -> Any:
    """A ``tokenizers.Tokenizer`` without truncation and padding of its own."""
    from tokenizers import Tokenizer

    text = read_text(path, "A tokenizer")
    try:
        tokenizer = Tokenizer.from_str(text)
    except Exception as exc:  # the library raises bare Exception
        raise InputError(f"{path} must be a tokenizer.json, but: {exc}.") from exc
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer
