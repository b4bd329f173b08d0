"""Seeded inputs for measuring and checking a network."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from fleetfit import Embedding, InputError, Workload

__all__ = ["make_inputs"]


def make_inputs(
    embedding: Embedding, workload: Workload, *, seed: int, count: int
) -> list[dict[str, npt.NDArray[np.int64]]]:
    """``count`` inputs of one workload: name to int64, batch x seq, as in ``INPUTS``.

    Token ids are uniform, the padding stands at the ends of the rows (its positions are shared
    evenly between them, at least one position of each row is real), and each row changes from
    segment to segment once. The same arguments give the same inputs.
    """
    if workload.seq_len > embedding.max_positions:
        raise InputError(
            f"A workload's length must be at most the {embedding.max_positions} positions of the "
            f"network, but got {workload.seq_len}."
        )
    if count < 1:
        raise InputError(f"`count >= 1` must hold, but got {count}.")
    rng = np.random.default_rng(seed)
    return [_one(embedding, workload, rng) for _ in range(count)]


def _one(
    embedding: Embedding, workload: Workload, rng: np.random.Generator
) -> dict[str, npt.NDArray[np.int64]]:
    batch, seq = workload.batch, workload.seq_len
    padded = round(workload.padding * batch * seq)
    per_row = np.full(batch, padded // batch)
    per_row[: padded % batch] += 1
    real = np.maximum(seq - per_row, 1)
    position = np.arange(seq)
    mask = (position[None, :] < real[:, None]).astype(np.int64)
    ids = rng.integers(embedding.vocab_size, size=(batch, seq), dtype=np.int64)
    borders = np.sort(rng.integers(seq + 1, size=(batch, embedding.segments - 1)), axis=1)
    segments = (position[None, :, None] >= borders[:, None, :]).sum(axis=2).astype(np.int64)
    return {
        "input_ids": ids * mask,
        "attention_mask": mask,
        "token_type_ids": segments * mask,
    }
