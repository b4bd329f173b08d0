"""Metrics of anything that runs a batch: an extracted network or a slice of a supernet."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import torch
from torch import Tensor

from fleetfit.query import Precision
from supernet.forward import Batch, Output
from supernet.network import EncoderNetwork
from supernet.precision import computed_in
from supernet.tasks.base import Encoded, Logits, Task

__all__ = ["Run", "logits_of", "runner", "score_network", "stacked"]

_CPU: Final = torch.device("cpu")

Run = Callable[[Batch], Output]
"""As in ``lambda batch: supernet(batch, arch)``."""


def runner(network: EncoderNetwork) -> Run:
    """``network`` as a function of a batch, in the mode that it is in when called."""
    return lambda b: network(b.input_ids, b.attention_mask, b.token_type_ids)


def score_network(
    run: Run,
    task: Task[Any],
    encoded: Encoded,
    *,
    precision: Precision = "fp32",
    device: torch.device = _CPU,
) -> dict[str, float]:
    """Every metric of ``task`` over ``encoded``; see ``logits_of``."""
    return task.score(logits_of(run, encoded, precision=precision, device=device), encoded)


def logits_of(
    run: Run,
    encoded: Encoded,
    *,
    precision: Precision = "fp32",
    batch_size: int = 32,
    device: torch.device = _CPU,
) -> list[Logits]:
    """The float32 logits of each row in order, without gradients; like lengths share a batch.

    ``run`` gets batches on ``device``. A module must be in evaluation mode.
    """
    order = sorted(range(len(encoded)), key=lambda r: len(encoded.ids[r]))
    found: dict[int, Logits] = {}
    for i in range(0, len(order), batch_size):
        chosen = order[i : i + batch_size]
        with torch.no_grad(), computed_in(precision, device=device.type):
            logits = run(encoded.batch(chosen).to(device)).logits
        assert logits is not None
        rows = logits.float().cpu().numpy()
        for row, values in zip(chosen, rows, strict=True):
            whole = values.ndim == 1
            found[row] = values if whole else values[: len(encoded.ids[row])].copy()
    return [found[row] for row in range(len(encoded))]


def stacked(logits: Sequence[Logits], chosen: Sequence[int]) -> Output:
    """The stored logits of the rows ``chosen`` as the output of one batch, padded with 0."""
    rows: list[Tensor] = [torch.from_numpy(logits[r]) for r in chosen]
    padded = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
    return Output(hidden_states=(), pooled=None, logits=padded)
