"""A bundle in memory: texts in; labels with probabilities, numbers, embeddings or answers out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AnySet
from itertools import islice

import numpy as np
import numpy.typing as npt

from exporters.emit import output_shape
from exporters.manifest import Manifest
from exporters.questions import Answer, QuestionEncoder, Window
from exporters.rows import Row, stacked
from exporters.runtime import Inputs, Session
from exporters.text import TextEncoder
from fleetfit import InputError

__all__ = ["LoadedBundle"]

_Numbers = npt.NDArray[np.float32]


class LoadedBundle:
    """A verified bundle, loaded; threads may share it.

    Texts run in groups of the workload's batch, each padded to its longest text (to the
    workload's length, and the last group to the whole batch, where shapes are fixed). An empty
    text is a valid text of special tokens alone; one longer than ``manifest.max_length`` tokens
    is cut at its end. Where ``manifest.pairs``, every text needs a second one in ``seconds``, and
    of an overlong pair the longer is cut.
    """

    def __init__(
        self,
        *,
        manifest: Manifest,
        session: Session,
        encoder: TextEncoder,
        questions: QuestionEncoder | None = None,
    ) -> None:
        """Made by ``load_bundle``; ``questions``: for a span head."""
        self.manifest = manifest
        self.session = session
        self._encoder = encoder
        self._questions = questions

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
        for logits in self._rows(texts, seconds):
            shares = _softmax(logits)
            order = np.argsort(-shares, kind="stable")
            results.append({labels[i]: float(shares[i]) for i in order})
        return results

    def numbers(self, texts: Sequence[str], seconds: Sequence[str] | None = None) -> list[float]:
        """The number of each text or pair; raises InputError like ``predict``."""
        self._need("classification")
        if self.manifest.labels:
            raise InputError("The bundle must give a number, but has labels; use predict.")
        return [float(logits[0]) for logits in self._rows(texts, seconds)]

    def embed(self, texts: Sequence[str]) -> _Numbers:
        """Texts x width, rows of length 1; raises InputError like ``predict``."""
        self._need("embedding")
        rows = list(self._rows(texts, None))
        width = self.manifest.architecture.width
        return np.stack(rows) if rows else np.zeros((0, width), dtype=np.float32)

    def answer(self, questions: Sequence[str], contexts: Sequence[str]) -> list[Answer]:
        """The best part of each context as the answer to its question.

        A context that does not fit in ``manifest.max_length`` tokens beside its question is read
        in overlapping windows, all of it; a long question is cut at its end. Raises InputError
        like ``predict``, and for a bundle that finds no spans.
        """
        self._need("span")
        asked, read = _listed(questions), _listed(contexts)
        _check_equal(asked, read)
        assert self._questions is not None  # see load_bundle
        best: list[Answer] = []
        work = self._windows(self._questions, asked, read)
        while group := list(islice(work, self.manifest.workload.batch)):
            logits = self._run_windows([window for _, window in group])
            for (i, window), values in zip(group, logits, strict=True):
                found = window.answer(values, read[i])
                if i == len(best):
                    best.append(found)
                elif found.score > best[i].score:
                    best[i] = found
        return best

    def _windows(
        self, encoder: QuestionEncoder, questions: list[str], contexts: list[str]
    ) -> Iterator[tuple[int, Window]]:
        """Every window with the place of its question."""
        for i, (question, context) in enumerate(zip(questions, contexts, strict=True)):
            for window in encoder.windows(question, context):
                yield i, window

    def _run_windows(self, group: list[Window]) -> _Numbers:
        shape = self.session.shape
        missing = 0 if shape is None else shape[0] - len(group)
        rows = [window.row for window in [*group, *group[:1] * missing]]
        inputs = stacked(rows, pad=self._encoder.pad, seq_len=shape[1] if shape else None)
        return self._run(inputs)[: len(group)]

    def try_out(self) -> None:
        """Run padding once; raises InputError where the model does not give what it should."""
        batch, seq_len = self.session.shape or (1, 1)
        row: Row = ([self._encoder.pad], [0])
        self._run(stacked([row] * batch, pad=self._encoder.pad, seq_len=seq_len))

    def _run(self, inputs: Inputs) -> _Numbers:
        """The network's one output, which must be as its head says."""
        arch = self.manifest.architecture
        values = self.session.run(inputs)[arch.head.output]
        wanted = output_shape(arch, *inputs["input_ids"].shape)
        if values.shape != wanted:
            raise InputError(
                f"A bundle's model must give {arch.head.output} of the shape {wanted} as its "
                f"manifest says, but gives {values.shape}; export the bundle again."
            )
        return values

    def _need(self, kind: str) -> None:
        found = self.manifest.architecture.head.kind
        if found != kind:
            raise InputError(f"The bundle must have a head of kind {kind}, but has {found}.")

    def _rows(self, texts: Sequence[str], seconds: Sequence[str] | None) -> Iterator[_Numbers]:
        firsts = _listed(texts)
        others = None if seconds is None else _listed(seconds)
        self._check_pairs(firsts, others)
        batch = self.manifest.workload.batch
        for start in range(0, len(firsts), batch):
            shape = self.session.shape
            count = min(batch, len(firsts) - start)
            missing = 0 if shape is None else batch - count
            group, beside = _filled(firsts, start, count, missing), None
            if others is not None:
                beside = _filled(others, start, count, missing)
            inputs = self._encoder.encode(group, beside, seq_len=shape[1] if shape else None)
            yield from self._run(inputs)[:count]

    def _check_pairs(self, texts: list[str], seconds: list[str] | None) -> None:
        if self.manifest.pairs != (seconds is not None):
            wanted = "pairs of texts" if self.manifest.pairs else "single texts"
            raise InputError(f"The bundle must be given {wanted}, as it was trained on them.")
        if seconds is not None:
            _check_equal(texts, seconds)


def _listed(texts: Iterable[str]) -> list[str]:
    """The texts as a list; raises InputError for anything else, single strings included."""
    ordered = isinstance(texts, Iterable) and not isinstance(texts, str | bytes | Mapping | AnySet)
    found = list(texts) if ordered else [None]
    if not all(isinstance(text, str) for text in found):
        raise InputError("Texts must be a sequence of strings, as in ['I lost my card'].")
    return [text for text in found if isinstance(text, str)]


def _filled(texts: list[str], start: int, count: int, missing: int) -> list[str]:
    """A group, filled up with its first."""
    return texts[start : start + count] + texts[start : start + 1] * missing


def _check_equal(texts: list[str], seconds: list[str]) -> None:
    if len(seconds) != len(texts):
        raise InputError(
            f"Every text must have a second one, but got {len(texts)} and {len(seconds)}."
        )


def _softmax(logits: _Numbers) -> npt.NDArray[np.float64]:
    wide = logits.astype(np.float64)
    shares = np.exp(wide - wide.max())
    return np.asarray(shares / shares.sum())
