"""Rows of tokens as the inputs of a network."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

__all__ = ["Row", "stacked"]

Row = tuple[list[int], list[int]]
"""Token ids and segments."""


def stacked(
    rows: Sequence[Row], *, pad: int, seq_len: int | None = None
) -> dict[str, npt.NDArray[np.int64]]:
    """Inputs of a network, batch x seq; seq is ``seq_len`` or the longest of the rows.

    ``pad``: the id of padding. At least one position of each row is real, even where it is empty.
    """
    length = seq_len or max(1, max((len(row) for row, _ in rows), default=1))
    shape = (len(rows), length)
    ids = np.full(shape, pad, dtype=np.int64)
    mask = np.zeros(shape, dtype=np.int64)
    segments = np.zeros(shape, dtype=np.int64)
    for i, (row, types) in enumerate(rows):
        n = len(row)
        ids[i, :n], segments[i, :n] = row, types
        mask[i, : max(1, n)] = 1
    return {"input_ids": ids, "attention_mask": mask, "token_type_ids": segments}
