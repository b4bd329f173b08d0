"""Digests: equal for equal content, another for every change that matters."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch

from supernet.digests import digest_of_batches, digest_of_stream, digest_of_tensors
from supernet.quality import split
from supernet.shards import ShardedIds
from tests.supernet.tiny import IDS, batch, stream


def test_a_stream_is_known_by_its_tokens_and_special_ids() -> None:
    base = stream(tokens=50)
    changed = np.array(base.tokens)
    changed[-1] += 1
    digests = [
        digest_of_stream(base, IDS),
        digest_of_stream(dataclasses.replace(base, tokens=changed), IDS),
        digest_of_stream(dataclasses.replace(base, tokens=base.tokens[:-1]), IDS),
        digest_of_stream(dataclasses.replace(base, tokens=changed.astype(np.uint32)), IDS),
        digest_of_stream(dataclasses.replace(base, cls_id=7), IDS),
        digest_of_stream(dataclasses.replace(base, ends=np.array([50])), IDS),
        digest_of_stream(dataclasses.replace(base, ends=np.array([20, 50])), IDS),
        digest_of_stream(base, IDS | {"[MASK]": 9}),
    ]
    assert len(set(digests)) == len(digests)
    assert digest_of_stream(stream(tokens=50), dict(reversed(IDS.items()))) == digests[0]


def test_a_stream_in_shards_is_known_as_the_same() -> None:
    base = stream(tokens=2**20 + 7)
    tokens = np.asarray(base.tokens)
    parts = ShardedIds([tokens[:9], tokens[9:1000], tokens[1000:]])
    sharded = dataclasses.replace(base, tokens=parts)
    assert digest_of_stream(sharded, IDS) == digest_of_stream(base, IDS)


def test_tensors_are_known_by_names_shapes_and_values() -> None:
    value = torch.arange(6.0)
    digests = [
        digest_of_tensors({"a": value}),
        digest_of_tensors({"b": value}),
        digest_of_tensors({"a": value.view(2, 3)}),
        digest_of_tensors({"a": value.view(2, 3).T}),
        digest_of_tensors({"a": value + 1e-6}),
        digest_of_tensors({"a": value, "b": value}),
    ]
    assert len(set(digests)) == len(digests)
    assert digest_of_tensors({"b": value, "a": value.clone()}) == digests[-1]


def test_batches_are_known_by_their_sequences() -> None:
    base = batch(rows=4)
    parts = [part for part, _ in split(base, 3)]
    changed = [
        dataclasses.replace(base, **{name: getattr(base, name).clone()})
        for name in ("input_ids", "attention_mask", "token_type_ids")
    ]
    for name, other in zip(("input_ids", "attention_mask", "token_type_ids"), changed, strict=True):
        getattr(other, name)[0, 0] += 1
    shape = base.input_ids.reshape(2, -1)
    digests = [
        digest_of_batches(which)
        for which in ([base], *([other] for other in changed), parts[::-1], [type(base).of(shape)])
    ]
    assert len(set(digests)) == len(digests)
    assert digest_of_batches(parts) == digests[0]
