"""A bundle in memory: texts in, labels with probabilities or embeddings out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from exporters.manifest import Manifest
from exporters.runtime import Session
from exporters.text import TextEncoder
from fleetfit import InputError

__all__ = ["LoadedBundle"]


class LoadedBundle:
    """A verified bundle, loaded. Not shared between threads.

    Texts run in groups of the workload's batch, each padded to its longest text (to the
    workload's length, and the last group to the whole batch, where shapes are fixed). An empty
    text is a valid text of special tokens alone; one longer than ``manifest.max_length`` tokens
    is cut at its end.
    """

    def __init__(self, *, manifest: Manifest, session: Session, encoder: TextEncoder) -> None:
        """Made by ``load_bundle``."""
        self.manifest = manifest
        self.session = session
        self._encoder = encoder

    def predict(self, texts: Sequence[str]) -> list[dict[str, float]]:
        """For each text every label's probability, the most probable first.

        No texts give an empty list. Raises InputError for anything but a sequence of strings and
        for a bundle without a classification head.
        """
        self._need("classification")
        labels, results = self.manifest.labels, []
        for logits in self._rows(texts, "logits"):
            shares = _softmax(logits)
            order = np.argsort(-shares, kind="stable")
            results.append({labels[i]: float(shares[i]) for i in order})
        return results

    def embed(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Texts x width, rows of length 1; raises InputError like ``predict``."""
        self._need("embedding")
        rows = list(self._rows(texts, "embedding"))
        width = self.manifest.architecture.width
        return np.stack(rows) if rows else np.zeros((0, width), dtype=np.float32)

    def _need(self, kind: str) -> None:
        found = self.manifest.architecture.head.kind
        if found != kind:
            raise InputError(f"The bundle must have a head of kind {kind}, but has {found}.")

    def _rows(self, texts: Sequence[str], output: str) -> Iterator[npt.NDArray[np.float32]]:
        if isinstance(texts, str) or not all(isinstance(t, str) for t in texts):
            raise InputError("Texts must be a sequence of strings, as in ['I lost my card'].")
        batch = self.manifest.workload.batch
        for start in range(0, len(texts), batch):
            group = list(texts[start : start + batch])
            shape, count = self.session.shape, len(group)
            if shape is not None:
                group += [""] * (batch - count)
            inputs = self._encoder.encode(group, seq_len=shape[1] if shape else None)
            yield from self.session.run(inputs)[output][:count]


def _softmax(logits: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    wide = logits.astype(np.float64)
    shares = np.exp(wide - wide.max())
    return np.asarray(shares / shares.sum())
