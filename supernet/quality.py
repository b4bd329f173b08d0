"""The quality of sub-networks without training them: how far they are from the source.

Search needs a number that is cheap, needs no labels and ranks sub-networks; the distance of a
slice's last hidden states to the source's on unlabelled text is that number.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import torch

from fleetfit.architecture import Architecture
from fleetfit.errors import InputError
from fleetfit.query import Precision
from supernet.digests import digest_of_tensors
from supernet.forward import Batch
from supernet.model import Supernet
from supernet.network import EncoderNetwork
from supernet.precision import computed_in
from supernet.text import TokenStream

__all__ = [
    "BATCH_SIZE",
    "HiddenLoss",
    "check_lengths",
    "encode_texts",
    "pad",
    "sentences",
    "source_network",
    "split",
    "windows",
]

BATCH_SIZE: Final = 16
"""Sequences of 128 tokens that a network runs at once in an evaluation: on a CPU more are slower
(the shipped supernet's largest member, one core, ms a sequence at 8, 16, 32, 128: fp32 27, 28, 29,
35; bf16 9.0, 8.9, 9.8, 12.0).
"""


def source_network(supernet: Supernet, given: EncoderNetwork | None = None) -> EncoderNetwork:
    """The largest member as ``supernet`` is now, or ``given``, which must have its sizes."""
    largest = supernet.space.largest()
    if given is None:
        return EncoderNetwork.of(largest, supernet.extract(largest, copy=False))
    if given.arch != largest:
        raise InputError(
            f"A teacher must have the sizes of the supernet's source, {largest.summary()}, "
            f"but is {given.arch.summary()}."
        )
    return given


class HiddenLoss:
    """Squared distance to the source's last hidden states over their variance, token by token.

    0: equal to the source; 1: no better than the mean state. Lower is better.
    """

    def __init__(
        self,
        supernet: Supernet,
        batches: Sequence[Batch],
        *,
        teacher: EncoderNetwork | None = None,
    ) -> None:
        """``teacher``: a network of the source's sizes; the largest member where not given.

        Raises InputError without batches, for sequences longer than the model's positions, and
        for a teacher of other sizes.
        """
        self.supernet, self.batches = supernet, list(batches)
        check_lengths(supernet, self.batches)
        source = source_network(supernet, teacher)
        self._teacher_id = "" if teacher is None else digest_of_tensors(teacher.named_weights())
        with torch.no_grad():
            self._targets = [
                source(b.input_ids, b.attention_mask, b.token_type_ids).hidden for b in self.batches
            ]
        kept = [
            t[b.attention_mask.bool()] for t, b in zip(self._targets, self.batches, strict=True)
        ]
        states = torch.cat(kept)
        self._variance = float((states - states.mean(dim=0)).square().mean())

    @property
    def data_id(self) -> str:
        """16 hexadecimal digits over the inputs and a given teacher; part of a cache's key."""
        sha = hashlib.sha256(b"tokens" + self._teacher_id.encode())
        for batch in self.batches:
            sha.update(repr(tuple(batch.input_ids.shape)).encode())
            for part in (batch.input_ids, batch.attention_mask, batch.token_type_ids):
                sha.update(part.numpy().tobytes())
        return sha.hexdigest()[:16]

    def __call__(self, members: Sequence[tuple[Architecture, Precision]]) -> list[float]:
        """The loss of each (architecture, precision)."""
        return [float(self.per_sequence(arch, precision).mean()) for arch, precision in members]

    def per_sequence(self, arch: Architecture, precision: Precision) -> npt.NDArray[np.float64]:
        """The loss on each sequence, for paired comparisons; their mean is the loss."""
        losses = []
        for batch, target in zip(self.batches, self._targets, strict=True):
            with torch.no_grad(), computed_in(precision):
                hidden = self.supernet.readout(arch, self.supernet(batch, arch).hidden)
            error = (hidden.float() - target).square().mean(dim=-1)
            mask = batch.attention_mask
            error = (error * mask).sum(dim=1) / mask.sum(dim=1)
            losses.append(error.double().numpy() / self._variance)
        return np.concatenate(losses)


def check_lengths(supernet: Supernet, batches: Sequence[Batch]) -> None:
    """Raise InputError without batches and for sequences longer than the model's positions."""
    if not batches:
        raise InputError("A loss must be taken over at least one text, but there is none.")
    length = max(b.input_ids.shape[1] for b in batches)
    positions = supernet.space.source.embedding.max_positions
    if length > positions:
        raise InputError(
            f"Sequences must have at most the model's {positions} positions, but one "
            f"has {length} tokens."
        )


def split(batch: Batch, size: int) -> Iterator[tuple[Batch, slice]]:
    """``batch`` in parts of at most ``size`` sequences, and the rows of each."""
    for start in range(0, len(batch.input_ids), size):
        rows = slice(start, start + size)
        part = dataclasses.replace(
            batch,
            input_ids=batch.input_ids[rows],
            attention_mask=batch.attention_mask[rows],
            token_type_ids=batch.token_type_ids[rows],
        )
        yield part, rows


def windows(stream: TokenStream, *, count: int, seq_len: int, batch_size: int = 32) -> list[Batch]:
    """``count`` windows (or all there are) spread evenly over a text, in batches.

    Raises InputError where the text is shorter than one window.
    """
    if count < 1:
        raise InputError(f"`count >= 1` must hold for windows, but got {count}.")
    total = stream.windows(seq_len)
    if total < 1:
        raise InputError(
            f"A text must hold at least one window of {seq_len} tokens, but this one has "
            f"{len(stream.tokens)} tokens; give more text or shorter windows."
        )
    rows = np.unique(np.linspace(0, total - 1, min(count, total)).astype(np.int64))
    chunks = [rows[i : i + batch_size] for i in range(0, len(rows), batch_size)]
    return [Batch.of(torch.from_numpy(stream.batch(chunk, seq_len))) for chunk in chunks]


def sentences(
    texts: Sequence[str], tokenizer: object, *, max_length: int, batch_size: int = 64
) -> list[Batch]:
    """Texts as padded batches, the short ones together; cut at ``max_length`` tokens."""
    encoded = encode_texts(texts, tokenizer, max_length=max_length)
    ordered = sorted(encoded, key=len)
    return [pad(ordered[i : i + batch_size]) for i in range(0, len(ordered), batch_size)]


def encode_texts(texts: Sequence[str], tokenizer: object, *, max_length: int) -> list[list[int]]:
    """Token ids with [CLS] and [SEP], cut at ``max_length``; [SEP] stays last."""
    encodings = tokenizer.encode_batch(list(texts))  # type: ignore[attr-defined]
    ids = [list(e.ids) for e in encodings]
    return [x if len(x) <= max_length else [*x[: max_length - 1], x[-1]] for x in ids]


def pad(rows: Sequence[Sequence[int]]) -> Batch:
    """Rows of ids as one batch, padded with id 0 to the longest."""
    length = max(map(len, rows))
    ids = torch.zeros(len(rows), length, dtype=torch.int64)
    mask = torch.zeros_like(ids)
    for i, row in enumerate(rows):
        ids[i, : len(row)] = torch.tensor(row)
        mask[i, : len(row)] = 1
    return Batch.of(ids, mask)
