"""What the configuration of a supernet says of its training: tokens, texts, licences, teacher."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from fleetfit import InputError
from search.cli.corpus import LOSSES, joined_licences, teacher_of, with_licence

if TYPE_CHECKING:
    from supernet.checkpoint import Checkpoint
    from supernet.network import EncoderNetwork
    from supernet.pretrain_config import PretrainConfig
    from supernet.spaces import CheckpointConfig

__all__ = ["taught", "told"]


def told(
    before: CheckpointConfig, run: PretrainConfig, text: str, licence: str
) -> CheckpointConfig:
    """The configuration after a run on ``text`` of that licence: tokens and texts add up.

    Raises InputError for a supernet that carries a task: its head would no longer fit the body.
    """
    if before.task is not None:
        raise InputError(
            "pretrain must be given a supernet without a task, but this one was fine-tuned on "
            f"{before.task.name}; pretrain the one that it came from, then fine-tune again."
        )
    facts = {
        "tokens_seen": str(_count(before, "tokens_seen") + run.tokens),
        "head_tokens": str(_count(before, "head_tokens") + run.head_tokens),
        "seed": str(run.seed),
    }
    texts = [before.provenance.get("training text"), text]
    facts["training text"] = "; ".join(name for name in dict.fromkeys(texts) if name)
    kept = {k: v for k, v in before.provenance.items() if not k.endswith(LOSSES)}
    return dataclasses.replace(
        before,
        licences=with_licence(before.licences, "training text", licence),
        provenance=kept | facts,  # losses were of the weights before
    )


def _count(config: CheckpointConfig, name: str) -> int:
    text = config.provenance.get(name, "0")
    if not text.isdecimal():
        raise InputError(f"{name} in config.json must be a whole number, but got {text!r}.")
    return int(text)


def taught(
    path: Path, start: Checkpoint, config: PretrainConfig, trained: CheckpointConfig
) -> tuple[EncoderNetwork, CheckpointConfig]:
    """The network that teaches, and ``trained`` with what is to be said of it."""
    from supernet.quality import source_network

    if not config.losses.hidden and not config.losses.scores:
        raise InputError(
            "--teacher must come with a loss that looks at it, but hidden and scores weigh 0; "
            "leave it out, or give --hidden-weight."
        )
    teacher = teacher_of(path, start, fitted=config.fitted_teacher)
    record = dataclasses.replace(
        trained,
        licences=joined_licences(trained.licences, teacher.config.licences),
        provenance=trained.provenance | {"pretraining teacher": teacher.sha256[:16]},
    )
    return source_network(teacher.supernet), record
