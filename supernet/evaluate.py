"""How good named sub-networks are on held-out text: hidden-state and masked-LM loss."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from fleetfit.architecture import Architecture, Head
from supernet.forward import Batch
from supernet.masking import corrupt, masked_lm_loss
from supernet.model import Supernet
from supernet.quality import HiddenLoss
from supernet.spaces import ElasticSpace, SearchSpace

__all__ = ["Evaluation", "evaluate", "named_members"]


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

    Of the elastic space five cuts, each along one dimension or all; of others the member with the
    middle choice everywhere.
    """
    if not isinstance(space, ElasticSpace):
        middle = space.repair(np.array([space.gene_sizes], dtype=np.int64) // 2)[0]
        return {
            "largest": space.largest(),
            "middle": space.architecture(middle),
            "smallest": space.smallest(),
        }
    c = space.choices
    full = (c.widths[-1], c.heads[-1], c.ffns[-1])

    def near(values: Sequence[int], share: float) -> int:
        return min(values, key=lambda v: (abs(v - share * values[-1]), v))

    def member(depth: float, width: float, heads: float, ffn: float) -> Architecture:
        layer = (near(c.widths, width), near(c.heads, heads), near(c.ffns, ffn))
        embedding = min(c.embedding_widths, key=lambda e: abs(e - layer[0]))
        return space.build(embedding, [layer] * near(c.depths, depth))

    return {
        "largest": space.build(c.embedding_widths[-1], [full] * c.depths[-1]),
        "half-ffn": member(1, 1, 1, 0.5),
        "half-heads": member(1, 1, 0.5, 1),
        "narrow": member(1, 0.75, 1, 1),
        "half-depth": member(0.5, 1, 1, 1),
        "middle": member(2 / 3, 0.75, 2 / 3, 0.5),
        "smallest": space.smallest(),
    }


def evaluate(
    loss: HiddenLoss,
    members: Mapping[str, Architecture],
    *,
    special_ids: Mapping[str, int],
    progress: Callable[[int, int, str], None] | None = None,
) -> list[Evaluation]:
    """Evaluate ``members`` on the batches of ``loss``; the same tokens are masked for all.

    ``special_ids``: of [MASK], [CLS], [SEP], [PAD], [UNK]; all but the first are never masked or
    scored.
    """
    batches = _corrupted(loss, special_ids)
    results = []
    for i, (name, arch) in enumerate(members.items()):
        nats, accuracy = _masked_lm(loss.supernet, arch, batches)
        results.append(
            Evaluation(
                name=name,
                architecture=arch,
                hidden_loss=loss([(arch, "fp32")])[0],
                masked_lm_loss=nats,
                masked_lm_accuracy=accuracy,
            )
        )
        if progress is not None:
            progress(i + 1, len(members), name)
    return results


Masked = tuple[Batch, torch.Tensor, torch.Tensor]


def _corrupted(loss: HiddenLoss, special_ids: Mapping[str, int]) -> list[Masked]:
    rng = np.random.default_rng(0)
    keep = {special_ids[name] for name in ("[CLS]", "[SEP]", "[PAD]", "[UNK]")}
    vocab = loss.supernet.space.source.embedding.vocab_size
    batches = []
    for batch in loss.batches:
        ids, chosen = corrupt(
            batch.input_ids, rng, mask_id=special_ids["[MASK]"], vocab_size=vocab, keep=keep
        )
        masked = Batch(
            input_ids=ids,
            attention_mask=batch.attention_mask,
            token_type_ids=batch.token_type_ids,
        )
        batches.append((masked, batch.input_ids, chosen & batch.attention_mask.bool()))
    return batches


def _masked_lm(
    supernet: Supernet, arch: Architecture, batches: Sequence[Masked]
) -> tuple[float, float]:
    headed = arch.with_head(Head(kind="masked_lm"))
    nats = hits = count = 0.0
    for batch, clean, chosen in batches:
        with torch.no_grad():
            logits = supernet(batch, headed).logits
        if logits is None:
            raise ValueError("a masked-LM head gives logits")
        scored, targets = logits[chosen].float(), clean[chosen]
        nats += float(masked_lm_loss(scored, targets)) * len(targets)
        hits += float((scored.argmax(dim=-1) == targets).sum())
        count += len(targets)
    return nats / max(1, count), hits / max(1, count)
