"""Seeded inputs for measuring and checking a network."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from exporters.lengths import spaced
from fleetfit import Embedding, InputError, IntArray, Workload

__all__ = ["make_inputs"]


def make_inputs(
    embedding: Embedding, workload: Workload, *, seed: int, count: int
) -> list[dict[str, npt.NDArray[np.int64]]]:
    """``count`` inputs of one workload: name to int64, batch x seq, as in ``INPUTS``.

    Token ids are uniform, the padding stands at the ends of the rows, and each row changes from
    segment to segment once. The same arguments give the same inputs. No two inputs have the same
    ids, as long as the words and the real tokens of the shortest allow ``count`` different ones.

    A share of padding is spread evenly between the rows (at least one position of each is real).
    Of a workload's lengths, the rows of all inputs together take evenly spaced ones in random
    order: each equally often, where their number is a multiple of the lengths'.
    """
    if workload.seq_len > embedding.max_positions:
        raise InputError(
            f"A workload's length must be at most the {embedding.max_positions} positions of the "
            f"network, but got {workload.seq_len}."
        )
    if count < 1:
        raise InputError(f"`count >= 1` must hold, but got {count}.")
    rng = np.random.default_rng(seed)
    taken: set[bytes] = set()
    return [
        _one(embedding, workload.seq_len, real, rng, taken)
        for real in _real_tokens(workload, count, rng)
    ]


def _real_tokens(workload: Workload, count: int, rng: np.random.Generator) -> Iterator[IntArray]:
    """Real tokens of each row (batch), input by input."""
    batch, seq = workload.batch, workload.seq_len
    if workload.lengths:
        rows = spaced(np.array(workload.lengths, dtype=np.int64), count * batch)
        yield from rng.permutation(rows).reshape(count, batch)
        return
    padded = round(workload.padding * batch * seq)
    per_row = np.full(batch, padded // batch)
    per_row[: padded % batch] += 1
    for _ in range(count):
        yield np.maximum(seq - per_row, 1)


def _one(
    embedding: Embedding,
    seq: int,
    real: IntArray,
    rng: np.random.Generator,
    taken: set[bytes],
) -> dict[str, npt.NDArray[np.int64]]:
    """One input whose rows have ``real`` tokens; its ids join ``taken``."""
    batch = len(real)
    position = np.arange(seq)
    mask = (position[None, :] < real[:, None]).astype(np.int64)
    ids = rng.integers(embedding.vocab_size, size=(batch, seq), dtype=np.int64) * mask
    for _ in range(len(taken)):
        if ids.tobytes() not in taken:
            break
        ids[mask > 0] = _next(ids[mask > 0], embedding.vocab_size)
    taken.add(ids.tobytes())
    borders = np.sort(rng.integers(seq + 1, size=(batch, embedding.segments - 1)), axis=1)
    segments = (position[None, :, None] >= borders[:, None, :]).sum(axis=2).astype(np.int64)
    return {"input_ids": ids, "attention_mask": mask, "token_type_ids": segments * mask}


def _next(digits: IntArray, base: int) -> IntArray:
    """The number after ``digits``, lowest first; 0 after the last one."""
    found = digits.copy()
    for i, digit in enumerate(digits):
        found[i] = (digit + 1) % base
        if found[i] > 0:
            break
    return found
