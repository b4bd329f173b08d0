"""Where each window of a text of many documents takes its tokens from.

A document that fills a window shares none: its last window ends where the document ends. Shorter
ones share windows, with a separator between two; where all of them together do not fill a window,
the head of the first long document does.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Packing"]

Positions = npt.NDArray[np.int64]


class Packing:
    """All windows of ``body`` tokens: first those of long documents, then the shared ones.

    A document of n >= body tokens has ceil(n / body) windows. The shorter ones stand end to end
    in their order, divided by separators, and are cut in the same way. Every window is full and
    every token is in one; only a text whose documents together do not fill a window has none.
    """

    def __init__(self, ends: Positions, body: int) -> None:
        """``ends``: where each document ends, rising; the first one begins at 0."""
        starts = np.concatenate([[0], ends[:-1]])
        sizes = ends - starts
        long = sizes >= body
        self.body = body
        self._starts, self._sizes = starts[long], sizes[long]
        self._before = _sums(-(-self._sizes // body))  # windows before each long document
        self._pool(starts[~long], sizes[~long])

    def _pool(self, starts: Positions, sizes: Positions) -> None:
        pooled = max(0, int(sizes.sum()) + len(sizes) - 1)
        if 0 < pooled < self.body and len(self._starts):  # a long document's head fills it up
            starts = np.append(starts, self._starts[0])
            sizes = np.append(sizes, self.body)
        self._short = starts
        self._places = _sums(sizes + 1)  # in the pool, a separator behind each
        self._last = max(0, pooled - self.body)
        fits = self._places[-1] > self.body  # the separator behind the last is not of the pool
        self._shared = -(-pooled // self.body) if fits else 0

    def __len__(self) -> int:
        """How many windows there are."""
        return int(self._before[-1]) + self._shared

    def positions(self, rows: npt.NDArray[Any]) -> Positions:
        """Places in the text of the windows ``rows``, rows x body; -1 is a separator."""
        rows = np.asarray(rows, dtype=np.int64)
        if rows.size and (rows.min() < 0 or rows.max() >= len(self)):
            raise IndexError(f"rows must be within the {len(self)} windows")
        found = np.empty((len(rows), self.body), dtype=np.int64)
        inside = rows < self._before[-1]
        found[inside] = self._of_long(rows[inside])
        found[~inside] = self._of_pool(rows[~inside] - self._before[-1])
        return found

    def _of_long(self, rows: Positions) -> Positions:
        document = np.searchsorted(self._before, rows, side="right") - 1
        begin = (rows - self._before[document]) * self.body
        begin = np.minimum(begin, self._sizes[document] - self.body)
        places: Positions = (self._starts[document] + begin)[:, None] + np.arange(self.body)
        return places

    def _of_pool(self, rows: Positions) -> Positions:
        place = np.minimum(rows * self.body, self._last)[:, None] + np.arange(self.body)
        document = np.searchsorted(self._places, place, side="right") - 1
        place -= self._places[document]
        size = self._places[document + 1] - self._places[document] - 1
        return np.where(place < size, self._short[document] + place, -1)


def _sums(counts: Positions) -> Positions:
    """Sums of what stands before each, and of all."""
    return np.concatenate([[0], np.cumsum(counts)])
