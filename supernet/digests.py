"""Digests that tell whether a run goes on with what it began with, and name data in caches."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from supernet.forward import Batch
from supernet.text import TokenStream

__all__ = ["digest_of_batches", "digest_of_stream", "digest_of_tensors"]

_CHUNK = 2**20  # tokens of a text that are in memory at once


def digest_of_batches(batches: Iterable[Batch]) -> str:
    """16 hexadecimal digits over the sequences; how many stand in a batch does not matter."""
    sha = hashlib.sha256()
    for batch in batches:
        parts = (batch.input_ids, batch.attention_mask, batch.token_type_ids)
        rows = torch.stack(parts, dim=1).numpy()
        for row in rows:
            sha.update(repr(row.shape).encode() + row.tobytes())
    return sha.hexdigest()[:16]


def digest_of_stream(stream: TokenStream, special_ids: Mapping[str, int]) -> str:
    """16 hexadecimal digits over the tokens, their documents and the ids of the special ones."""
    ends = (stream.cls_id, stream.sep_id, *sorted(special_ids.items()))
    sha = hashlib.sha256(repr((stream.tokens.dtype.name, ends)).encode())
    for start in range(0, len(stream.tokens), _CHUNK):
        sha.update(stream.tokens[start : start + _CHUNK].tobytes())
    if stream.ends is not None:
        sha.update(b"ends" + stream.ends.tobytes())
    return sha.hexdigest()[:16]


def digest_of_tensors(named: Mapping[str, Tensor]) -> str:
    """16 hexadecimal digits over names, shapes and float32 values, in the order of the names."""
    sha = hashlib.sha256()
    for name, value in sorted(named.items()):
        sha.update(repr((name, tuple(value.shape))).encode())
        sha.update(value.detach().float().cpu().numpy().tobytes())
    return sha.hexdigest()[:16]
