"""Pretraining: it learns, it resumes to the same bits, and it refuses what cannot be right."""

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
from supernet.model import Supernet
from supernet.network import EncoderNetwork
from supernet.pretrain import PretrainConfig, Pretraining, hidden_loss
from tests.supernet.tiny import IDS, stream, tiny_supernet

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
) -> Pretraining:
    directory.mkdir(exist_ok=True)
    text, supernet = stream(tokens=tokens), tiny_supernet(seed=seed)
    return Pretraining(supernet, (text, IDS), config, directory=directory, teacher=teacher)


def losses(directory: Path) -> list[dict[str, str]]:
    with (directory / "loss.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def weights(supernet: Supernet) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in supernet.tensors().items()}


def assert_same(one: Pretraining, other: Pretraining) -> None:
    ours, theirs = weights(one.supernet), weights(other.supernet)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    log = (one.directory / "loss.csv").read_bytes()
    assert log == (other.directory / "loss.csv").read_bytes()


@pytest.mark.parametrize("masked_lm_weight", [0.0, 0.5])
def test_losses_fall(tmp_path: Path, masked_lm_weight: float) -> None:
    config = dataclasses.replace(
        CONFIG,
        tokens=40 * 64,
        head_tokens=20 * 64,
        learning_rate=3e-3,
        head_learning_rate=1e-2,
        masked_lm_weight=masked_lm_weight,
    )
    start(tmp_path, config).run()
    for name in ("head", "smallest"):
        values = [float(r["loss"]) for r in losses(tmp_path) if r["name"] == name]
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
        file.write("4,largest,0.1\n4,smal")
    second = start(tmp_path / "parts")
    second.resume()
    second.run()
    assert_same(second, whole)


def test_a_kill_before_the_first_state_starts_afresh(tmp_path: Path) -> None:
    whole = start(tmp_path / "whole")
    whole.run()
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "loss.csv").write_text("step,name,loss\n1,head,9.9\n2,he")
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
        start(tmp_path, dataclasses.replace(CONFIG, learning_rate=1e-3)).resume()


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


def test_a_loss_that_is_not_finite_stops_and_keeps_the_state(tmp_path: Path) -> None:
    run = start(tmp_path)
    run.run(until=3)
    kept = (tmp_path / "state.safetensors").read_bytes()
    with torch.no_grad():
        run.supernet.tensors()["out.3"].fill_(float("nan"))
        run.supernet.tensors()["layers.0.0.norm.bias"].fill_(float("nan"))
    with pytest.raises(SurroundingsError, match=r"step 3 .* the state before is kept"):
        run.run()
    assert (tmp_path / "state.safetensors").read_bytes() == kept
    assert sorted(p.name for p in tmp_path.iterdir()) == ["loss.csv", "state.safetensors"]


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
    assert sorted(p.name for p in tmp_path.iterdir()) == ["loss.csv", "state.safetensors"]


def test_a_bug_while_saving_is_not_reported_as_a_full_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise TypeError("a bug")

    monkeypatch.setattr("supernet.pretrain.to_bytes", broken)
    with pytest.raises(TypeError, match="a bug"):
        start(tmp_path).save_state()


def test_what_a_kill_left_of_a_save_is_removed(tmp_path: Path) -> None:
    (tmp_path / ".state.safetensors.x7").write_bytes(b"half")
    assert not start(tmp_path).resume()
    assert list(tmp_path.iterdir()) == []


def test_lines_of_losses_that_are_none_are_dropped(tmp_path: Path) -> None:
    (tmp_path / "loss.csv").write_text("step,name,loss\nx,head,1.0\n,,\n0,head,2.0\n1,he\n")
    start(tmp_path).run(until=0)
    assert (tmp_path / "loss.csv").read_text() == "step,name,loss\n0,head,2.0\n"


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
    first = {row["name"]: float(row["loss"]) for row in losses(tmp_path)}
    assert set(first) == {"largest", "smallest", "random0"}
    assert first["largest"] < 1e-6
    assert first["smallest"] > 0.1


def test_hidden_loss_by_hand() -> None:
    teacher = torch.tensor([[[0.0], [2.0]]])
    ours = torch.tensor([[[1.0], [2.0]]])
    # error (1 + 0) / 2, variance 1
    assert float(hidden_loss(ours, teacher)) == pytest.approx(0.5)
    assert float(hidden_loss(teacher.mean(dim=1, keepdim=True).expand(1, 2, 1), teacher)) == (
        pytest.approx(1.0)
    )


@pytest.mark.parametrize(
    "change",
    [
        {"tokens": 0},
        {"batch_tokens": 0},
        {"seq_lens": (2,)},
        {"learning_rate": 0.0},
        {"head_tokens": -1},
        {"hidden_weight": 0.0},
        {"masked_lm_weight": -1.0},
        {"hidden_weight": float("nan")},
        {"learning_rate": float("nan")},
        {"learning_rate": float("inf")},
        {"batch_tokens": 15},
        {"seq_lens": ()},
        {"random_members": -1},
        {"seed": -1},
    ],
    ids=str,
)
def test_settings_out_of_range_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=r"Tokens and|Sequences must|Loss weights|Random members"):
        dataclasses.replace(CONFIG, **change)
