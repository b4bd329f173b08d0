"""Training with the tokens of a task only; the other word embeddings stay as they are.

A task has a few thousand tokens. AdamW, clipping and zeroing over all 30,522 took a quarter of the
steps of a network of 3 layers, 384 wide, and a supernet pays for each member of a step.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Sequence

import torch

from supernet.model import Supernet
from supernet.tasks import Encoded
from supernet.weight_source import get, put

__all__ = ["narrowed", "placed", "put_back", "used_ids"]

_PER_TOKEN = ("embedding.tokens", "head.bias")


def used_ids(*parts: Encoded) -> list[int]:
    """The tokens that occur, ascending, 0 (padding) among them."""
    return sorted({0}.union(*(row for part in parts for row in part.ids)))


def placed(encoded: Encoded, used: Sequence[int]) -> Encoded:
    """With the place in ``used`` instead of each id."""
    place = {token: i for i, token in enumerate(used)}
    return dataclasses.replace(encoded, ids=[[place[t] for t in row] for row in encoded.ids])


def narrowed(supernet: Supernet, used: Sequence[int]) -> Supernet:
    """A copy that knows the tokens ``used`` only, numbered from 0 in their order."""
    source, rows = supernet.space.source, torch.tensor(used)
    embedding = dataclasses.replace(source.embedding, vocab_size=len(used))
    made = copy.deepcopy(supernet)
    made.space = dataclasses.replace(
        supernet.space, source=dataclasses.replace(source, embedding=embedding)
    )
    for name in _PER_TOKEN:
        put(made, name, get(supernet, name).detach()[rows])
    return made


def put_back(narrow: Supernet, supernet: Supernet, used: Sequence[int]) -> None:
    """Write the weights of ``narrow`` into the ``supernet`` that it was cut from."""
    rows, whole = torch.tensor(used), supernet.tensors()
    with torch.no_grad():
        for name, value in narrow.tensors().items():
            whole[name][rows if name in _PER_TOKEN else slice(None)] = value
