"""Pretraining: it learns, it resumes to the same bits, and it refuses what cannot be right."""

from __future__ import annotations

import dataclasses
import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from fleetfit import InputError, SurroundingsError
from supernet.losses import LossWeights
from supernet.network import EncoderNetwork
from tests.supernet.pretraining import (
    CONFIG,
    HEADER,
    KEPT,
    assert_same,
    losses,
    start,
    weights,
)
from tests.supernet.tiny import tiny_supernet


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
