"""A bundle in memory: texts in, labels with probabilities, numbers or embeddings out."""

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
    """A verified bundle, loaded; threads may share it.

    Texts run in groups of the workload's batch, each padded to its longest text (to the
    workload's length, and the last group to the whole batch, where shapes are fixed). An empty
    text is a valid text of special tokens alone; one longer than ``manifest.max_length`` tokens
    is cut at its end. Where ``manifest.pairs``, every text needs a second one in ``seconds``, and
    of an overlong pair the longer is cut.
    """

    def __init__(self, *, manifest: Manifest, session: Session, encoder: TextEncoder) -> None:
        """Made by ``load_bundle``."""
        self.manifest = manifest
        self.session = session
        self._encoder = encoder

    def predict(
        self, texts: Sequence[str], seconds: Sequence[str] | None = None
    ) -> list[dict[str, float]]:
        """For each text or pair every label's probability, the most probable first.

        No texts give an empty list. Raises InputError for anything but sequences of strings, for
        seconds where the bundle takes none (or the other way round) and for a bundle without
        labels.
        """
        self._need("classification")
        labels, results = self.manifest.labels, []
        if not labels:
            raise InputError("The bundle must have labels, but gives a number; use numbers.")
        for logits in self._rows(texts, seconds, "logits"):
            shares = _softmax(logits)
            order = np.argsort(-shares, kind="stable")
            results.append({labels[i]: float(shares[i]) for i in order})
        return results

    def numbers(self, texts: Sequence[str], seconds: Sequence[str] | None = None) -> list[float]:
        """The number of each text or pair; raises InputError like ``predict``."""
        self._need("classification")
        if self.manifest.labels:
            raise InputError("The bundle must give a number, but has labels; use predict.")
        return [float(logits[0]) for logits in self._rows(texts, seconds, "logits")]

    def embed(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Texts x width, rows of length 1; raises InputError like ``predict``."""
        self._need("embedding")
        rows = list(self._rows(texts, None, "embedding"))
        width = self.manifest.architecture.width
        return np.stack(rows) if rows else np.zeros((0, width), dtype=np.float32)

    def _need(self, kind: str) -> None:
        found = self.manifest.architecture.head.kind
        if found != kind:
            raise InputError(f"The bundle must have a head of kind {kind}, but has {found}.")

    def _rows(
        self, texts: Sequence[str], seconds: Sequence[str] | None, output: str
    ) -> Iterator[npt.NDArray[np.float32]]:
        for part in (texts, seconds):
            if part is not None:
                _check_texts(part)
        self._check_pairs(texts, seconds)
        batch = self.manifest.workload.batch
        for start in range(0, len(texts), batch):
            shape = self.session.shape
            count = min(batch, len(texts) - start)
            empty = [""] * (batch - count if shape is not None else 0)
            group = [*texts[start : start + batch], *empty]
            others = None if seconds is None else [*seconds[start : start + batch], *empty]
            inputs = self._encoder.encode(group, others, seq_len=shape[1] if shape else None)
            yield from self.session.run(inputs)[output][:count]

    def _check_pairs(self, texts: Sequence[str], seconds: Sequence[str] | None) -> None:
        if self.manifest.pairs != (seconds is not None):
            wanted = "pairs of texts" if self.manifest.pairs else "single texts"
            raise InputError(f"The bundle must be given {wanted}, as it was trained on them.")
        if seconds is not None and len(seconds) != len(texts):
            raise InputError(
                f"Every text must have a second one, but got {len(texts)} and {len(seconds)}."
            )


def _check_texts(texts: Sequence[str]) -> None:
    if isinstance(texts, str) or not all(isinstance(t, str) for t in texts):
        raise InputError("Texts must be a sequence of strings, as in ['I lost my card'].")


def _softmax(logits: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    wide = logits.astype(np.float64)
    shares = np.exp(wide - wide.max())
    return np.asarray(shares / shares.sum())
