"""Every strategy and mix of losses: it trains what it says and goes on to the same bits."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open

from fleetfit import InputError
from supernet.losses import LossWeights
from supernet.network import EncoderNetwork
from supernet.pretrain import Pretraining
from supernet.sampling import Sampling
from tests.supernet.pretraining import (
    CONFIG,
    assert_same,
    losses,
    rows_of,
    start,
    weights,
)
from tests.supernet.tiny import arrays, random_weights, tiny_supernet

MIX = LossWeights(hidden_layers="all", scores=0.1, score_layers="all", masked_lm=0.2, in_place=0.3)
KINDS: dict[str, dict[str, Any]] = {
    "everything": {"losses": MIX},
    "single_path": {"sampling": Sampling(strategy="single_path", distribution="independent")},
    "batch_wise": {"sampling": Sampling(strategy="batch_wise", random_members=2)},
    "fitted": {"fitted_teacher": True, "losses": LossWeights(hidden_layers="all")},
}
"""What a run may be besides CONFIG."""


def start_kind(directory: Path, kind: str, **changes: Any) -> Pretraining:
    config = dataclasses.replace(CONFIG, **(KINDS[kind] | changes))
    arch = tiny_supernet().space.smallest()  # another model: one layer, half as wide
    other = EncoderNetwork.of(arch, arrays(random_weights(arch, seed=4)))
    return start(directory, config, teacher=other if kind == "fitted" else None)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_run_goes_on_to_the_same_bits(tmp_path: Path, kind: str) -> None:
    whole = start_kind(tmp_path / "whole", kind)
    whole.run()
    start_kind(tmp_path / "parts", kind).run(until=4)
    second = start_kind(tmp_path / "parts", kind)
    assert second.resume()
    second.run()
    assert_same(second, whole)


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("everything", {"head", "largest", "smallest", "random0"}),
        ("single_path", {"head", "random0"}),
        ("batch_wise", {"head", "random0", "random1"}),
    ],
)
def test_the_strategy_says_which_members_a_step_trains(
    tmp_path: Path, kind: str, names: set[str]
) -> None:
    start_kind(tmp_path, kind).run()
    assert {row["name"] for row in losses(tmp_path)} == names


@pytest.mark.parametrize(
    ("sampling", "shares"),
    [
        (Sampling(strategy="batch_wise", random_members=2), (1 / 2, 1 / 2)),
        (Sampling(largest_weight=4.0), (4 / 6, 1 / 6, 1 / 6)),
    ],
)
def test_gradients_of_the_members_of_a_step_are_averaged(
    tmp_path: Path, sampling: Sampling, shares: tuple[float, ...]
) -> None:
    """Against each member alone, from the same weights."""
    config = dataclasses.replace(CONFIG, head_tokens=0, clip=1e9, sampling=sampling)
    run = start(tmp_path, config)
    run.run(until=1)
    together = {n: p.grad for n, p in run.named.items() if p.grad is not None}
    alone = start(tmp_path / "alone", config)
    members = config.sampling.members(alone.supernet.space, seed=0, step=0)
    example = alone._batches.example(0)
    for arch, share in zip(members.values(), shares, strict=True):
        loss, _, _ = alone.objective(arch, example, alone.objective.teach(example.batch))
        (loss * share).backward()
    for name, gradient in together.items():
        own = alone.named[name].grad
        assert own is not None
        torch.testing.assert_close(gradient, own)


def test_losses_of_a_fitted_teacher_fall_and_its_map_stays_with_the_state(tmp_path: Path) -> None:
    run = start_kind(tmp_path, "fitted", tokens=60 * 64, head_tokens=0, learning_rate=3e-3)
    run.run()
    values = [float(r["value"]) for r in losses(tmp_path) if r["name"] == "largest"]
    assert sum(values[-10:]) < 0.8 * sum(values[:10])
    with safe_open(tmp_path / "state.safetensors", framework="pt") as file:
        kept = {name for name in file.keys() if "fit." in name}  # noqa: SIM118
    assert {"weights.fit.weight", "exp_avg.fit.bias"} <= kept
    assert not any(name.startswith("fit.") for name in run.supernet.tensors())


def test_a_fitted_teacher_leaves_the_head_stage_to_the_source(tmp_path: Path) -> None:
    own, fitted = start(tmp_path / "own"), start_kind(tmp_path / "fitted", "fitted")
    own.run(until=2)
    fitted.run(until=2)
    ours, theirs = weights(fitted.supernet), weights(own.supernet)
    for name in theirs:
        torch.testing.assert_close(ours[name], theirs[name])


def test_sequences_beyond_a_fitted_teachers_positions_are_refused(tmp_path: Path) -> None:
    arch = tiny_supernet().space.smallest()
    embedding = dataclasses.replace(arch.embedding, max_positions=12)
    short = EncoderNetwork(dataclasses.replace(arch, embedding=embedding))
    config = dataclasses.replace(CONFIG, fitted_teacher=True)
    with pytest.raises(InputError, match=r"at most the model's 12 positions.*16,8"):
        start(tmp_path, config, teacher=short)


def test_in_place_distillation_needs_the_largest_in_every_step() -> None:
    with pytest.raises(InputError, match="must have the largest member in every step"):
        dataclasses.replace(CONFIG, losses=MIX, **KINDS["single_path"])


def test_another_mix_is_refused(tmp_path: Path) -> None:
    start_kind(tmp_path, "everything").run(until=1)
    other = dataclasses.replace(MIX, in_place=0.4)
    with pytest.raises(InputError, match="must come from the same settings"):
        start_kind(tmp_path, "everything", losses=other).resume()


@pytest.mark.parametrize(
    "change",
    [
        {"tokens": 0},
        {"batch_tokens": 0},
        {"seq_lens": (2,)},
        {"learning_rate": 0.0},
        {"head_tokens": -1},
        {"learning_rate": float("nan")},
        {"learning_rate": float("inf")},
        {"batch_tokens": 15},
        {"seq_lens": ()},
        {"seed": -1},
        {"clip": 0.0},
        {"weight_decay": -1.0},
        {"warmup": 1.0},
    ],
    ids=str,
)
def test_settings_out_of_range_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(
        InputError, match=r"`(head_)?\w+ >=? 0` must|Sequences must|The seed|The warmup"
    ):
        dataclasses.replace(CONFIG, **change)


def test_pauses_between_steps_count_in_no_rate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]

    def clock() -> float:
        now[0] += 1.0
        return now[0]

    def pause() -> float:
        pauses.append(500.0)
        now[0] += 500.0
        return 500.0

    pauses: list[float] = []
    monkeypatch.setattr("supernet.pretrain.time.monotonic", clock)
    start(tmp_path / "alone").run(save_every_s=1e9)
    run = start(tmp_path / "waits")
    run.run(save_every_s=1e9, pause=pause)
    assert len(pauses) == run.step
    assert_same_rates(tmp_path / "alone", tmp_path / "waits")


def assert_same_rates(one: Path, other: Path) -> None:
    rates = [[r for r in rows_of(d) if r["quantity"] == "tokens_per_s"] for d in (one, other)]
    assert rates[0]
    assert rates[0] == rates[1]
