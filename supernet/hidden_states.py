"""The hidden-state loss of sub-networks on a text, as a measure."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cached_property
from typing import ClassVar

from fleetfit.architecture import Architecture
from fleetfit.query import Precision
from supernet.digests import digest_of_batches, digest_of_tensors
from supernet.forward import Batch
from supernet.measure import Figure
from supernet.model import Supernet
from supernet.network import EncoderNetwork
from supernet.quality import BATCH_SIZE, HiddenLoss, check_lengths, source_network, split

__all__ = ["HiddenStates"]


class HiddenStates:
    """A ``Measure``: the ``HiddenLoss`` of a text, ``batch_size`` sequences at a time.

    The source runs when the first figure is asked for, not before: where all are in a cache it
    never does. The supernet must not change in between.
    """

    figures: ClassVar[tuple[Figure, ...]] = (
        Figure(name="hidden_loss", title="hidden loss", unit="of variance"),
    )

    def __init__(
        self,
        supernet: Supernet,
        batches: Sequence[Batch],
        *,
        teacher: EncoderNetwork | None = None,
        batch_size: int = BATCH_SIZE,
    ) -> None:
        """``teacher`` and errors as for ``HiddenLoss``."""
        check_lengths(supernet, batches)
        if teacher is not None:
            source_network(supernet, teacher)
        self._supernet, self._teacher = supernet, teacher
        self._batches, self._size = list(batches), batch_size

    @property
    def data_id(self) -> str:
        """See Measure; over the sequences and a given teacher's weights."""
        sha = hashlib.sha256(b"hidden_loss" + digest_of_batches(self._batches).encode())
        if self._teacher is not None:
            sha.update(digest_of_tensors(self._teacher.named_weights()).encode())
        return sha.hexdigest()[:16]

    def __call__(self, arch: Architecture, precision: Precision) -> dict[str, float]:
        """See Measure."""
        return {"hidden_loss": self._loss([(arch, precision)])[0]}

    @cached_property
    def _loss(self) -> HiddenLoss:
        parts = [part for batch in self._batches for part, _ in split(batch, self._size)]
        return HiddenLoss(self._supernet, parts, teacher=self._teacher)
