"""Answers that are parts of a text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from fleetfit.architecture import Head
from fleetfit.spans import best_span
from supernet.forward import Output
from supernet.tasks.answers import answer_f1, exact_match
from supernet.tasks.base import Encoded, Logits, Task, TaskKind
from supernet.tasks.squad import Questions
from supernet.tasks.windows import Window, windows_of

__all__ = ["SpanExtraction"]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Source:
    """What an answer is read from."""

    questions: Questions
    windows: tuple[Window, ...]
    """One a row."""


class SpanExtraction(Task[Questions]):
    """Start and end of the answer by two softmaxes over the row (Devlin et al. 2019, section 4.2).

    A window that does not hold the whole answer is trained on position 0, [CLS], as Devlin et al.
    do for questions without an answer (section 4.3), and not dropped: else a network would never
    learn to find nothing, and any of its windows could win when the answers are compared.
    """

    kind: TaskKind = "span"

    @property
    def labels(self) -> tuple[str, ...]:
        """None."""
        return ()

    @property
    def metrics(self) -> tuple[str, ...]:
        """SQuAD's."""
        return ("f1", "exact_match")

    def head(self, pooling: Literal["mean", "first"]) -> Head:
        """Start and end of each token; nothing is pooled."""
        return Head(kind="span", outputs=2)

    def encode(self, data: Questions, tokenizer: object, max_length: int) -> Encoded:
        """Overlapping windows of each question; ``cut``: how many did not fit in one as a whole."""
        windows = tuple(windows_of(data, tokenizer, max_length))
        return Encoded(
            ids=[w.ids for w in windows],
            segments=[w.segments for w in windows],
            targets=torch.tensor([w.target for w in windows], dtype=torch.int64),
            cut=len({w.question for w in windows if not w.whole}),
            source=_Source(questions=data, windows=windows),
        )

    def loss(self, output: Output, encoded: Encoded, chosen: Sequence[int]) -> Tensor:
        """Mean of the cross-entropies of start and end."""
        start_end = _log_shares(output, encoded, chosen)
        targets = encoded.targets[torch.as_tensor(chosen)].to(start_end.device)
        return (
            F.nll_loss(start_end[..., 0], targets[:, 0]) / 2
            + F.nll_loss(start_end[..., 1], targets[:, 1]) / 2
        )

    def soft_loss(
        self, output: Output, teachers_output: Output, encoded: Encoded, chosen: Sequence[int]
    ) -> Tensor:
        """Mean of the cross-entropies to the teacher's two distributions, over real tokens.

        Hinton et al. 2015, section 2, at temperature 1, on both distributions as Sanh et al. 2019
        (DistilBERT, section 4.1) do for SQuAD.
        """
        shares = _log_shares(teachers_output, encoded, chosen).detach().exp()
        logs = _log_shares(output, encoded, chosen)
        shares = shares.to(logs.device)
        products = torch.where(shares > 0, shares * logs, 0.0)
        return -products.sum(dim=1).mean()

    def score(self, logits: Sequence[Logits], encoded: Encoded) -> dict[str, float]:
        """F1 and exact match of the best answer of each question over its windows."""
        source: _Source = encoded.source
        found = _answers(logits, source)
        answers = [[a.text for a in item.answers] for item in source.questions.items]
        pairs = list(zip(found, answers, strict=True))
        return {
            "f1": float(np.mean([answer_f1(one, given) for one, given in pairs])),
            "exact_match": float(np.mean([exact_match(one, given) for one, given in pairs])),
        }


def _log_shares(output: Output, encoded: Encoded, chosen: Sequence[int]) -> Tensor:
    """Log-probabilities of start and end over the real tokens, batch x seq x 2."""
    assert output.logits is not None
    logits = output.logits.float()
    lengths = torch.tensor([len(encoded.ids[r]) for r in chosen], device=logits.device)
    real = torch.arange(logits.shape[1], device=logits.device) < lengths[:, None]
    return logits.masked_fill(~real[:, :, None], float("-inf")).log_softmax(dim=1)


def _answers(logits: Sequence[Logits], source: _Source) -> list[str]:
    """The text of the best span of each question; empty where a context has no tokens."""
    best = [-np.inf] * len(source.questions)
    texts = [""] * len(source.questions)
    for window, values in zip(source.windows, logits, strict=True):
        if not window.spans:
            continue
        score, first, last = best_span(values, window.first, len(window.spans))
        if score > best[window.question]:
            context = source.questions.items[window.question].context
            best[window.question] = score
            texts[window.question] = context[window.spans[first][0] : window.spans[last][1]]
    return texts
