"""Several processes: the same training as one, and an end that names who was lost."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from fleetfit import InputError, SurroundingsError
from supernet.losses import LossWeights
from supernet.pretrain_config import PretrainConfig
from supernet.processes import Processes, check_count, device_of, joined, memory_told
from tests.supernet.pretraining import CONFIG, losses, start

MIX = LossWeights(hidden_layers="all", scores=0.1, masked_lm=0.2, in_place=0.3)
WHOLE = dataclasses.replace(CONFIG, losses=MIX)

CHILD = """
import sys, time, torch
from pathlib import Path
torch.set_num_threads(1)
from supernet.processes import device_of, joined
from tests.supernet.test_processes import WHOLE, LONG, start
directory, name, micro, until = Path(sys.argv[1]), sys.argv[2], *map(int, sys.argv[3:])
with joined(device_of("cpu")) as group:
    config = {"whole": WHOLE, "long": LONG}[name]
    run = start(directory, config, processes=group, micro_batches=micro)
    run.resume()
    run.run(until=until or None, save_every_s=0.0, progress=lambda *_: None)
"""
LAUNCHER = """
import sys
from fleetfit import FleetfitError
from supernet.launch import launch
try:
    launch(sys.argv[1:], count=2)
except FleetfitError as exc:
    print(exc)
    sys.exit(exc.exit_code)
except KeyboardInterrupt:
    sys.exit(130)
"""
LONG = dataclasses.replace(CONFIG, tokens=100_000 * 64)


def launched(
    directory: Path, name: str = "whole", micro: int = 1, until: int = 0
) -> subprocess.Popen[str]:
    directory.mkdir(exist_ok=True)
    words = (str(directory), name, str(micro), str(until))
    command = [sys.executable, "-c", LAUNCHER, "-c", CHILD, *words]
    return subprocess.Popen(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def in_two(directory: Path, *, micro: int = 1, until: int = 0) -> dict[str, torch.Tensor]:
    child = launched(directory, micro=micro, until=until)
    said, _ = child.communicate(timeout=120)
    assert child.returncode == 0, said
    return load_file(directory / "state.safetensors")


def assert_equal(directory: Path, found: dict[str, torch.Tensor], whole: Path) -> None:
    wanted = load_file(whole / "state.safetensors")
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        # A softmax does not see what is added to all scores of a query: the gradient of a key's
        # bias is rounding, and AdamW makes steps of full length of it.
        if not name.endswith("key.bias"):
            torch.testing.assert_close(found[name], value, rtol=1e-3, atol=2e-5, msg=name)
    ours, theirs = losses(directory), losses(whole)
    assert [(r["step"], r["name"]) for r in ours] == [(r["step"], r["name"]) for r in theirs]
    for one, other in zip(ours, theirs, strict=True):
        assert float(one["value"]) == pytest.approx(float(other["value"]), rel=1e-4)


def test_two_processes_train_as_one_with_the_summed_batch(tmp_path: Path) -> None:
    """Both stages, every kind of loss: losses, weights and moments."""
    start(tmp_path / "one", WHOLE).run()
    found = in_two(tmp_path / "two")
    assert_equal(tmp_path / "two", found, tmp_path / "one")


@pytest.mark.slow
def test_two_processes_with_two_micro_batches_do_too(tmp_path: Path) -> None:
    start(tmp_path / "one", WHOLE).run()
    found = in_two(tmp_path / "two", micro=2)
    assert_equal(tmp_path / "two", found, tmp_path / "one")


@pytest.mark.parametrize("micro", [2, 3])
def test_micro_batches_train_as_the_whole_batch(tmp_path: Path, micro: int) -> None:
    start(tmp_path / "one", WHOLE).run()
    start(tmp_path / "parts", WHOLE, micro_batches=micro).run()
    found = load_file(tmp_path / "parts" / "state.safetensors")
    assert_equal(tmp_path / "parts", found, tmp_path / "one")


def test_one_process_goes_on_where_two_were_stopped(tmp_path: Path) -> None:
    """The state does not depend on how many made it."""
    start(tmp_path / "one", WHOLE).run()
    in_two(tmp_path / "two", until=4)
    again = start(tmp_path / "two", WHOLE)
    assert again.resume()
    assert again.step == 4
    again.run()
    assert_equal(
        tmp_path / "two", load_file(tmp_path / "two" / "state.safetensors"), tmp_path / "one"
    )


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="asks Linux for the children")
def test_a_killed_rank_stops_all_and_is_named(tmp_path: Path) -> None:
    child = launched(tmp_path / "run", "long")
    try:
        wait_for_steps(child, tmp_path / "run" / "loss.csv")
        ranks = {rank: pid for pid, rank in ranks_below(child.pid).items()}
        os.kill(ranks["1"], signal.SIGKILL)
        said, _ = child.communicate(timeout=60)
    finally:
        child.kill()
    assert child.returncode == SurroundingsError.exit_code
    assert f"rank 1 (process {ranks['1']}) was ended by SIGKILL" in said
    assert not any(alive(pid) for pid in ranks.values())
    assert (tmp_path / "run" / "state.safetensors").exists()


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="asks Linux for the children")
def test_an_interrupt_stops_all(tmp_path: Path) -> None:
    child = launched(tmp_path / "run", "long")
    try:
        wait_for_steps(child, tmp_path / "run" / "loss.csv")
        ranks = ranks_below(child.pid)
        child.send_signal(signal.SIGTERM)
        said, _ = child.communicate(timeout=60)
    finally:
        child.kill()
    assert child.returncode == 130, said
    assert not any(alive(pid) for pid in ranks)


def wait_for_steps(child: subprocess.Popen[str], log: Path) -> None:
    deadline = time.monotonic() + 90
    while not (log.exists() and log.read_text().count("\n") > 3):
        assert time.monotonic() < deadline
        assert child.poll() is None
        time.sleep(0.05)


def ranks_below(parent: int) -> dict[int, str]:
    """Process ids and ranks of the children, by what Linux shows of their environment."""
    found = {}
    for path in Path(f"/proc/{parent}/task").glob("*/children"):
        for pid in map(int, path.read_text().split()):
            values = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
            rank = next((v[5:].decode() for v in values if v.startswith(b"RANK=")), None)
            if rank is not None:
                found[pid] = rank
    return found


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_alone_without_an_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with joined(torch.device("cpu")) as group:
        assert group == Processes()
        assert group.first
        assert torch.equal(group.mean(torch.arange(3.0)), torch.arange(3.0))


def test_an_error_of_ones_own_stays_what_it_is() -> None:
    for count in (1, 2):
        with (
            pytest.raises(RuntimeError, match="mine"),
            Processes(rank=0, count=count).together("at step 0"),
        ):
            raise RuntimeError("mine")
    with (
        pytest.raises(SurroundingsError, match=r"rank 1 of 2 .* at step 7 \(Connection closed"),
        Processes(rank=1, count=2).together("at step 7"),
    ):
        raise RuntimeError("Connection closed by peer\nmore")


def test_fewer_sequences_than_parts_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"each of its 5 parts .* 64 tokens are 4 sequences"):
        start(tmp_path, PretrainConfig(tokens=64, batch_tokens=64, seq_lens=(16,)), micro_batches=5)
    with pytest.raises(InputError, match="micro_batches >= 1"):
        start(tmp_path, micro_batches=0)


@pytest.mark.parametrize("name", ["gpu", "cuda:x", "", "cuda1", "cuda:", "CPU"])
def test_an_unknown_device_is_refused(name: str) -> None:
    with pytest.raises(InputError, match="must be auto, cpu, cuda or cuda:N"):
        device_of(name)


def test_memory_that_does_not_suffice_is_said() -> None:
    said = r"fit into the GPU's memory, but does not; use less\."
    with pytest.raises(SurroundingsError, match=said), memory_told("use less"):
        raise torch.OutOfMemoryError("CUDA out of memory")


def test_processes_must_each_find_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    check_count(torch.device("cuda:0"), 2)
    check_count(torch.device("cpu"), 8)
    with pytest.raises(SurroundingsError, match=r"3 processes .* torch sees 2"):
        check_count(torch.device("cuda:0"), 3)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_device_that_is_not_there_is_said() -> None:
    assert device_of("auto") == torch.device("cpu")
    with pytest.raises(SurroundingsError, match="'cuda' must be a GPU that torch can use"):
        device_of("cuda")


@pytest.mark.gpu
@pytest.mark.usefixtures("cuda")
def test_a_gpu_trains_as_the_cpu_does(tmp_path: Path) -> None:
    start(tmp_path / "cpu", WHOLE).run()
    start(tmp_path / "gpu", WHOLE, device=device_of("cuda")).run()
    found = load_file(tmp_path / "gpu" / "state.safetensors")
    assert_equal(tmp_path / "gpu", found, tmp_path / "cpu")
