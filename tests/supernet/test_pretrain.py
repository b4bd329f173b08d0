"""Pretraining: it learns, it resumes to the same bits, and it refuses what cannot be right.

Long because each promise is held for every strategy and mix of losses, from one set of runs.
"""

from __future__ import annotations

import csv
import dataclasses
import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from fleetfit import InputError, SurroundingsError
from supernet.losses import LossWeights
from supernet.model import Supernet
from supernet.network import EncoderNetwork
from supernet.pretrain import Placement, Pretraining
from supernet.pretrain_config import PretrainConfig
from supernet.sampling import Sampling
from tests.supernet.tiny import IDS, arrays, random_weights, stream, tiny_supernet

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


@pytest.mark.parametrize("masked_lm_weight", [0.0, 0.5])
def test_losses_fall(tmp_path: Path, masked_lm_weight: float) -> None:
    config = dataclasses.replace(
        CONFIG,
        tokens=40 * 64,
        head_tokens=20 * 64,
        learning_rate=3e-3,
        head_learning_rate=1e-2,
        losses=LossWeights(masked_lm=masked_lm_weight),
    )
    start(tmp_path, config).run()
    for name in ("head", "smallest"):
        values = [float(r["value"]) for r in losses(tmp_path) if r["name"] == name]
        assert sum(values[-10:]) < 0.97 * sum(values[:10]), name


def test_the_first_stage_trains_the_head_alone(tmp_path: Path) -> None:
    run = start(tmp_path)
    before = weights(run.supernet)
    run.run(until=2)
    after = weights(run.supernet)
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved == {name for name in before if name.startswith("head.")}
    assert {row["name"] for row in losses(tmp_path)} == {"head"}


@pytest.mark.parametrize("stop", [1, 2, 5])
def test_a_stopped_run_goes_on_to_the_same_bits(tmp_path: Path, stop: int) -> None:
    whole = start(tmp_path / "whole")
    whole.run()
    start(tmp_path / "parts").run(until=stop)
    second = start(tmp_path / "parts")
    assert second.resume()
    assert second.step == stop
    second.run()
    assert_same(second, whole)


def test_a_kill_after_the_state_leaves_lines_that_are_taken_again(tmp_path: Path) -> None:
    whole = start(tmp_path / "whole")
    whole.run()
    start(tmp_path / "parts").run(until=3)
    with (tmp_path / "parts" / "loss.csv").open("a") as file:
        file.write("4,largest,loss,0.1\n4,smal")
    second = start(tmp_path / "parts")
    second.resume()
    second.run()
    assert_same(second, whole)


def test_a_kill_before_the_first_state_starts_afresh(tmp_path: Path) -> None:
    whole = start(tmp_path / "whole")
    whole.run()
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "loss.csv").write_text("step,name,quantity,value\n1,head,loss,9.9\n2,he")
    second = start(tmp_path / "parts")
    assert not second.resume()
    second.run()
    assert_same(second, whole)


CHILD = """
import sys, torch
from pathlib import Path
torch.set_num_threads(1)
from tests.supernet.test_pretrain import LONG, start
run = start(Path(sys.argv[1]), LONG)
run.resume()
run.run(save_every_s=0.0)
"""
LONG = dataclasses.replace(CONFIG, tokens=60 * 64)


@pytest.mark.slow
def test_a_killed_process_goes_on_to_the_same_bits(tmp_path: Path) -> None:
    whole = start(tmp_path / "whole", LONG)
    whole.run()
    child = subprocess.Popen([sys.executable, "-c", CHILD, str(tmp_path / "killed")])
    state = tmp_path / "killed" / "state.safetensors"
    deadline = time.monotonic() + 120
    while not state.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(child.pid, signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL
    second = start(tmp_path / "killed", LONG)
    assert second.resume()
    assert second.step < LONG.steps
    second.run()
    assert_same(second, whole)


def test_other_settings_are_refused(tmp_path: Path) -> None:
    start(tmp_path).run(until=1)
    with pytest.raises(InputError, match="must come from the same settings"):
        start(tmp_path, dataclasses.replace(CONFIG, warmup=0.1)).resume()


def test_the_rate_may_change_on_the_way(tmp_path: Path) -> None:
    start(tmp_path).run(until=3)
    second = start(tmp_path, dataclasses.replace(CONFIG, learning_rate=1e-3))
    assert second.resume()
    assert second.step == 3


def test_another_text_is_refused(tmp_path: Path) -> None:
    start(tmp_path).run(until=1)
    with pytest.raises(InputError, match="must come from the same text"):
        start(tmp_path, tokens=2001).resume()


def test_another_start_is_refused(tmp_path: Path) -> None:
    start(tmp_path).run(until=1)
    other = start(tmp_path, seed=7, teacher=start(tmp_path).teacher)
    with pytest.raises(InputError, match="must come from the same starting weights"):
        other.resume()


def test_another_teacher_is_refused_and_the_same_one_taken(tmp_path: Path) -> None:
    teacher = start(tmp_path, seed=7).teacher
    first = start(tmp_path, teacher=teacher)
    first.run(until=1)
    with pytest.raises(InputError, match="must come from the same teacher"):
        start(tmp_path).resume()
    again = start(tmp_path, teacher=teacher)
    assert again.resume()


@pytest.mark.parametrize("inputs", [None, "[1]", "what"])
def test_a_state_that_does_not_say_what_it_came_from_is_refused(
    tmp_path: Path, inputs: str | None
) -> None:
    start(tmp_path).run(until=1)
    path = tmp_path / "state.safetensors"
    metadata = {k: v for k, v in state_metadata(path).items() if k != "inputs"}
    save_file(load_file(path), path, metadata | ({"inputs": inputs} if inputs else {}))
    with pytest.raises(InputError, match=r"state\.safetensors must"):
        start(tmp_path).resume()


@pytest.mark.parametrize("keep", [0, 100, 5000])
def test_a_truncated_state_is_refused_by_name(tmp_path: Path, keep: int) -> None:
    start(tmp_path).run(until=1)
    path = tmp_path / "state.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(InputError, match=r"state\.safetensors"):
        start(tmp_path).resume()


def test_a_state_without_a_weight_is_refused_by_name(tmp_path: Path) -> None:
    start(tmp_path).run(until=1)
    path = tmp_path / "state.safetensors"
    tensors, metadata = load_file(path), state_metadata(path)
    del tensors["weights.out.0"]
    save_file(tensors, path, metadata)
    with pytest.raises(InputError, match=r"state\.safetensors"):
        start(tmp_path).resume()


def state_metadata(path: Path) -> dict[str, str]:
    with safe_open(path, framework="pt") as file:
        metadata: dict[str, str] = file.metadata()
    return metadata


def test_a_loss_that_is_not_finite_stops_and_keeps_the_last_good_state(tmp_path: Path) -> None:
    """Rates so high that weights leave the range of numbers; a lower one goes on from there."""
    config = dataclasses.replace(CONFIG, tokens=50 * 64, weight_decay=0.0)
    high = dataclasses.replace(config, learning_rate=1e38)
    start(tmp_path / "whole", config).run()
    run = tmp_path / "run"
    start(run, config).run(until=4)
    again = start(run, high)
    assert again.resume()
    said = r"in step \d+ at learning rate .*e\+.* state of step 4 is kept.* lower learning_rate\."
    with pytest.raises(SurroundingsError, match=said):
        again.run()
    lower = start(run, config)
    assert lower.resume()
    assert lower.step == 4
    lower.run()
    kept, wanted = (load_file(p / "state.safetensors") for p in (run, tmp_path / "whole"))
    assert all(torch.equal(kept[name], value) for name, value in wanted.items())
    assert sorted(p.name for p in run.iterdir()) == KEPT


def test_before_the_first_saved_state_a_run_begins_again(tmp_path: Path) -> None:
    config = dataclasses.replace(CONFIG, head_learning_rate=1e38, head_tokens=50 * 64)
    with pytest.raises(SurroundingsError, match=r"no state was saved .* lower head_learning_rate"):
        start(tmp_path, config).run()
    assert not start(tmp_path, CONFIG).resume()


def test_a_state_that_cannot_be_written_leaves_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = start(tmp_path)
    run.run(until=1)
    kept = (tmp_path / "state.safetensors").read_bytes()

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(SurroundingsError, match=r"state\.safetensors .*No space left"):
        run.save_state()
    assert (tmp_path / "state.safetensors").read_bytes() == kept
    assert sorted(p.name for p in tmp_path.iterdir()) == KEPT


def test_a_bug_while_saving_is_not_reported_as_a_full_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise TypeError("a bug")

    monkeypatch.setattr("supernet.pretrain_state.to_bytes", broken)
    with pytest.raises(TypeError, match="a bug"):
        start(tmp_path).save_state()


def test_what_a_kill_left_of_a_save_is_removed(tmp_path: Path) -> None:
    (tmp_path / ".state.safetensors.x7").write_bytes(b"half")
    assert not start(tmp_path).resume()
    assert list(tmp_path.iterdir()) == []


def test_lines_of_losses_that_are_none_are_dropped(tmp_path: Path) -> None:
    (tmp_path / "loss.csv").write_text(f"{HEADER}\nx,head,loss,1\n,,\n0,head,loss,2\n1,he\n")
    start(tmp_path).run(until=0)
    assert (tmp_path / "loss.csv").read_text() == f"{HEADER}\n0,head,loss,2\n"


def test_losses_that_are_no_text_are_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "loss.csv").write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match=r"must be UTF-8 text, but .*loss\.csv"):
        start(tmp_path).run(until=1)


def test_a_corpus_below_a_batch_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="at least one batch of 64 tokens"):
        start(tmp_path, tokens=40)


def test_sequences_beyond_the_positions_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"at most the model's 40 positions.*41,8"):
        start(tmp_path, dataclasses.replace(CONFIG, seq_lens=(41, 8)))


def test_a_teacher_of_other_sizes_is_refused(tmp_path: Path) -> None:
    small = EncoderNetwork(tiny_supernet().space.smallest())
    with pytest.raises(InputError, match="sizes of the supernet's source"):
        start(tmp_path, teacher=small)


def test_without_training_the_largest_has_no_loss(tmp_path: Path) -> None:
    run = start(tmp_path, dataclasses.replace(CONFIG, head_tokens=0))
    run.run(until=1)
    first = {row["name"]: float(row["value"]) for row in losses(tmp_path)}
    assert set(first) == {"largest", "smallest", "random0"}
    assert first["largest"] < 1e-6
    assert first["smallest"] > 0.1


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
