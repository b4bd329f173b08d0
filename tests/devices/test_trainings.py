from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from devices import giving_way, machine_lock
from devices.trainings import wait_for_trainings
from fleetfit import SurroundingsError

CHILD = Path(__file__).parent / "children" / "training_child.py"
pytestmark = pytest.mark.usefixtures("children")


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    return tmp_path / "lock"


class Training:
    """A process that trains; its lines are read one by one, so that no test guesses times."""

    def __init__(self, lock: Path, how: str = "steps") -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(CHILD), str(lock), how],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.stdin, self.stdout = self.process.stdin, self.process.stdout

    def until(self, start: str) -> str:
        """The next line that starts so."""
        while not (line := self.stdout.readline()).startswith(start):
            assert line, f"the training ended before it said {start!r}"
        return line.rstrip()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@contextlib.contextmanager
def training(lock: Path, how: str = "steps") -> Iterator[Training]:
    made = Training(lock, how)
    try:
        made.until("step")
        yield made
    finally:
        made.kill()
        made.stdin.close()
        made.stdout.close()


def files(lock: Path) -> list[Path]:
    return list(lock.with_name("fleetfit-training").iterdir())


def test_a_training_waits_while_a_measurement_runs_and_goes_on(lock: Path) -> None:
    with training(lock) as trained:
        with machine_lock("a survey", timeout_s=60, path=lock):
            said = trained.until("waiting: ")
            assert re.search(r"a survey \(process \d+\) has the machine", said)
        trained.until("going on after")
        trained.until("step")


def test_no_step_is_taken_during_a_measurement(lock: Path) -> None:
    with training(lock) as trained:
        with machine_lock("a survey", timeout_s=60, path=lock):
            trained.until("waiting: ")
            time.sleep(0.3)  # some thirty steps, if it did not wait
        assert trained.stdout.readline().startswith("going on")


def test_a_training_begins_after_the_measurement(lock: Path) -> None:
    with machine_lock("a survey", timeout_s=60, path=lock):
        trained = Training(lock)
        assert trained.stdout.readline().startswith("waiting: a survey")
    assert trained.stdout.readline().startswith("going on")
    assert trained.stdout.readline() == "step\n"
    trained.kill()
    trained.stdin.close()
    trained.stdout.close()


def test_a_measurement_waits_for_the_end_of_the_step(lock: Path) -> None:
    with training(lock, "late") as trained:
        held = threading.Event()

        def measure() -> None:
            with machine_lock("a survey", timeout_s=60, path=lock):
                held.set()

        measuring = threading.Thread(target=measure)
        measuring.start()
        assert not held.wait(0.3)  # the step has not ended
        trained.stdin.write("end of the step\n")
        trained.stdin.flush()
        trained.until("waiting: ")
        assert held.wait(60)
        measuring.join()
        trained.until("going on")


def test_a_training_that_does_not_come_to_an_end_is_named(lock: Path) -> None:
    with training(lock, "endless") as trained:
        pid = trained.process.pid
        said = rf"a training \(process {pid}\) has not come .* kill -STOP {pid} "
        with (
            pytest.raises(SurroundingsError, match=said),
            machine_lock("a survey", timeout_s=0.1, path=lock),
        ):
            pass
        with pytest.raises(SurroundingsError):  # the measuring lock was let go of
            wait_for_trainings(lock, 0)


def test_a_stopped_training_counts_as_paused(lock: Path) -> None:
    with training(lock, "endless") as trained:
        trained.process.send_signal(signal.SIGSTOP)
        os.waitpid(trained.process.pid, os.WUNTRACED)
        with machine_lock("a survey", timeout_s=0, path=lock):
            pass
        trained.process.send_signal(signal.SIGCONT)


def test_a_killed_training_holds_nobody_up_and_leaves_nothing(lock: Path) -> None:
    with training(lock, "endless") as trained:
        assert len(files(lock)) == 1
        trained.kill()
        with machine_lock("a survey", timeout_s=0, path=lock):
            pass
        assert files(lock) == []


def test_several_trainings_are_all_waited_for(lock: Path) -> None:
    with training(lock) as one, training(lock) as two:
        with machine_lock("a survey", timeout_s=60, path=lock):
            one.until("waiting")
            two.until("waiting")
        one.until("going on")
        two.until("going on")


def test_the_own_process_may_train_and_measure(lock: Path) -> None:
    with (
        giving_way("a search", say=print, lock=lock),
        machine_lock("a verification", timeout_s=0, path=lock),
    ):
        pass


def test_nothing_is_left_after_the_end(lock: Path) -> None:
    with giving_way("a training", say=print, lock=lock) as pause:
        assert len(files(lock)) == 1
        assert pause() == 0.0
    assert files(lock) == []


def test_other_users_may_look_and_train_too(lock: Path) -> None:
    with giving_way("a training", say=print, lock=lock):
        (file,) = files(lock)
        assert file.stat().st_mode & 0o777 == 0o644
        assert file.parent.stat().st_mode & 0o7777 == 0o1777
        assert file.read_text() == f"a training (process {os.getpid()})"


def test_a_file_that_was_cleaned_away_is_made_again(
    lock: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("devices.trainings._LOOK_EVERY_S", 0.0)
    with giving_way("a training", say=print, lock=lock) as pause:
        (file,) = files(lock)
        file.unlink()
        pause()
        assert len(files(lock)) == 1


def test_without_a_place_for_the_lock_the_training_goes_on(tmp_path: Path) -> None:
    with giving_way("a training", say=print, lock=tmp_path / "absent" / "lock") as pause:
        assert pause() == 0.0


def test_without_a_place_for_files_the_training_goes_on(lock: Path) -> None:
    (lock.parent / "elsewhere").mkdir()
    lock.with_name("fleetfit-training").symlink_to(lock.parent / "elsewhere")
    with giving_way("a training", say=print, lock=lock) as pause:
        assert pause() == 0.0
    assert list((lock.parent / "elsewhere").iterdir()) == []


def test_on_other_systems_the_training_goes_on(lock: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    with giving_way("a training", say=print, lock=lock) as pause:
        assert pause() == 0.0
    assert not lock.exists()


def test_strange_files_hold_nobody_up(lock: Path) -> None:
    folder = lock.with_name("fleetfit-training")
    folder.mkdir()
    (folder / "notes.txt").touch()
    os.mkfifo(folder / "1-fifo")
    (folder / "1-link").symlink_to("/dev/zero")
    with machine_lock("a survey", timeout_s=0, path=lock):
        pass
