"""Short runs of pretraining, and what two of them must share."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import torch

from supernet.model import Supernet
from supernet.network import EncoderNetwork
from supernet.pretrain import Placement, Pretraining
from supernet.pretrain_config import PretrainConfig
from tests.supernet.tiny import IDS, stream, tiny_supernet

HEADER = "step,name,quantity,value"
KEPT = ["loss.csv", "state.safetensors", "tensorboard"]
CLOCK = ("tokens_per_s", "seconds_left")
CONFIG = PretrainConfig(
    tokens=6 * 64, head_tokens=2 * 64, batch_tokens=64, seq_lens=(16, 8), bf16=False
)


def start(
    directory: Path,
    config: PretrainConfig = CONFIG,
    *,
    tokens: int = 2000,
    seed: int = 0,
    teacher: EncoderNetwork | None = None,
    **place: Any,
) -> Pretraining:
    directory.mkdir(exist_ok=True)
    text, supernet = stream(tokens=tokens), tiny_supernet(seed=seed)
    placement = Placement(directory=directory, **place)
    return Pretraining(supernet, (text, IDS), config, placement=placement, teacher=teacher)


def rows_of(directory: Path) -> list[dict[str, str]]:
    with (directory / "loss.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def losses(directory: Path) -> list[dict[str, str]]:
    return [row for row in rows_of(directory) if row["quantity"] == "loss"]


def weights(supernet: Supernet) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in supernet.tensors().items()}


def assert_same(one: Pretraining, other: Pretraining) -> None:
    ours, theirs = weights(one.supernet), weights(other.supernet)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert logged(one.placement.directory) == logged(other.placement.directory)


def logged(directory: Path) -> list[dict[str, str]]:
    """All of the log but what depends on the clock."""
    return [row for row in rows_of(directory) if row["quantity"] not in CLOCK]
