"""How good sub-networks are on held-out text: hidden-state and masked-LM loss."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np

from fleetfit.architecture import Architecture
from fleetfit.query import Precision
from supernet.digests import digest_of_batches, digest_of_tensors
from supernet.forward import Batch
from supernet.masked_lm import MaskedLm
from supernet.measure import Figure
from supernet.model import Supernet
from supernet.network import EncoderNetwork
from supernet.quality import BATCH_SIZE, HiddenLoss, check_lengths, source_network, split
from supernet.spaces import ElasticSpace, SearchSpace

__all__ = ["Evaluation", "HiddenStates", "evaluate", "named_members"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Evaluation:
    """Losses of one sub-network on one text."""

    name: str
    architecture: Architecture
    hidden_loss: float
    """Squared distance to the source's last hidden states over their variance."""
    masked_lm_loss: float
    """Nats per masked token."""
    masked_lm_accuracy: float


def named_members(space: SearchSpace) -> dict[str, Architecture]:
    """The largest, the smallest and what lies between.

    Of the elastic space up to five cuts, each along one dimension or all; of others the member with
    the middle choice everywhere. A cut that is another of these members is left out.
    """
    if not isinstance(space, ElasticSpace):
        middle = space.repair(np.array([space.gene_sizes], dtype=np.int64) // 2)[0]
        three = (space.largest(), space.architecture(middle), space.smallest())
        return _distinct(dict(zip(("largest", "middle", "smallest"), three, strict=True)))
    c = space.choices
    full = (c.widths[-1], c.heads[-1], c.ffns[-1])

    def near(values: Sequence[int], share: float) -> int:
        return min(values, key=lambda v: (abs(v - share * values[-1]), v))

    def member(depth: float, width: float, heads: float, ffn: float) -> Architecture:
        layer = (near(c.widths, width), near(c.heads, heads), near(c.ffns, ffn))
        embedding = min(c.embedding_widths, key=lambda e: abs(e - layer[0]))
        return space.build(embedding, [layer] * near(c.depths, depth))

    found = {
        "largest": space.build(c.embedding_widths[-1], [full] * c.depths[-1]),
        "half-ffn": member(1, 1, 1, 0.5),
        "half-heads": member(1, 1, 0.5, 1),
        "narrow": member(1, 0.75, 1, 1),
        "half-depth": member(0.5, 1, 1, 1),
        "middle": member(2 / 3, 0.75, 2 / 3, 0.5),
        "smallest": space.smallest(),
    }
    return _distinct(found)


def _distinct(found: dict[str, Architecture]) -> dict[str, Architecture]:
    ends = {found[name].id: name for name in ("smallest", "largest")}
    first = {arch.id: name for name, arch in reversed(found.items())} | ends
    kept = {name: arch for name, arch in found.items() if first[arch.id] == name}
    return kept | {"smallest": found["smallest"]}


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


def evaluate(
    loss: HiddenLoss,
    members: Mapping[str, Architecture],
    *,
    special_ids: Mapping[str, int],
    progress: Callable[[int, int, str], None] | None = None,
) -> list[Evaluation]:
    """Evaluate ``members`` in fp32 on the batches of ``loss``; the same tokens are masked for all.

    ``special_ids``: see ``MaskedLm``.
    """
    masked_lm = MaskedLm(loss.supernet, loss.batches, special_ids=special_ids)
    results = []
    for i, (name, arch) in enumerate(members.items()):
        found = masked_lm(arch, "fp32")
        hidden = loss([(arch, "fp32")])[0]
        results.append(Evaluation(name=name, architecture=arch, hidden_loss=hidden, **found))
        if progress is not None:
            progress(i + 1, len(members), name)
    return results
