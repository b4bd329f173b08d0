from __future__ import annotations

import selectors
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from devices import Worker, run_isolated
from fleetfit import InputError, SurroundingsError

pytestmark = pytest.mark.usefixtures("children")
CHILD = "sample_child"


@pytest.fixture
def worker(children: None) -> Iterator[Worker]:
    with Worker(CHILD) as worker:
        yield worker


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def gone_within(pid: int, seconds: float) -> bool:
    end = time.monotonic() + seconds
    while is_alive(pid) and time.monotonic() < end:
        time.sleep(0.02)
    return not is_alive(pid)


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_many_requests_one_child(worker: Worker) -> None:
    values = [1, "zwei ü", [None, 2.5], {"a": True}]
    assert [worker.request({"do": "echo", "value": v}, timeout_s=30) for v in values] == values


def test_requests_and_results_larger_than_a_pipe(worker: Worker) -> None:
    value = "x" * 1_000_000
    assert worker.request({"do": "echo", "value": value}, timeout_s=30) == value


def test_prints_do_not_reach_the_result(worker: Worker) -> None:
    assert worker.request({"do": "print"}, timeout_s=30) == "true answer"
    assert worker.request({"do": "echo", "value": 5}, timeout_s=30) == 5


def test_a_crash_names_the_signal_and_what_was_said_last() -> None:
    with pytest.raises(SurroundingsError, match=r"sample_child.*SIGSEGV.*going down.*try again"):
        run_isolated(CHILD, {"do": "crash"}, timeout_s=30)


def test_an_exit_names_its_code() -> None:
    with pytest.raises(SurroundingsError, match="exit code 3"):
        run_isolated(CHILD, {"do": "exit"}, timeout_s=30)


def test_a_module_that_is_not_there() -> None:
    with pytest.raises(SurroundingsError, match="No module named"):
        run_isolated("no_such_child", {}, timeout_s=30)


def test_a_hang_is_killed(worker: Worker) -> None:
    worker.request({"do": "echo", "value": 0}, timeout_s=30)
    pid = worker.pid
    with pytest.raises(SurroundingsError, match=r"within 0.2 s"):
        worker.request({"do": "hang"}, timeout_s=0.2)
    assert gone_within(pid, 2)
    with pytest.raises(SurroundingsError, match="has ended"):
        worker.request({"do": "echo", "value": 0}, timeout_s=1)


def test_an_answer_that_came_while_this_process_was_stopped_counts(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]

    class Stopped(selectors.DefaultSelector):
        def select(self, timeout: float | None = None) -> Any:
            ready = super().select(30)
            if any(mask & selectors.EVENT_READ for _, mask in ready):
                now[0] = 1e6  # the clock went on
            return ready

    monkeypatch.setattr("devices.worker.selectors.DefaultSelector", Stopped)
    monkeypatch.setattr("devices.worker.time.monotonic", lambda: now[0])
    assert worker.request({"do": "echo", "value": 7}, timeout_s=30) == 7


def test_a_child_that_streams_without_end_is_late_too(worker: Worker) -> None:
    worker.request({"do": "echo", "value": 0}, timeout_s=30)
    with pytest.raises(SurroundingsError, match=r"within 0.2 s"):
        worker.request({"do": "stream"}, timeout_s=0.2)
    assert not is_alive(worker.pid)


def test_garbage_is_refused(worker: Worker) -> None:
    with pytest.raises(SurroundingsError, match="in JSON"):
        worker.request({"do": "garbage"}, timeout_s=30)


def test_our_errors_keep_class_and_message(worker: Worker) -> None:
    with pytest.raises(InputError) as caught:
        worker.request({"do": "ours"}, timeout_s=30)
    assert str(caught.value) == "A number must be even, but got 3."
    assert worker.request({"do": "echo", "value": 1}, timeout_s=30) == 1


@pytest.mark.parametrize(
    ("job", "said"), [("foreign", "ZeroDivisionError"), ("unwritable", "JSON")]
)
def test_other_errors_are_the_surroundings(worker: Worker, job: str, said: str) -> None:
    with pytest.raises(SurroundingsError, match=said):
        worker.request({"do": job}, timeout_s=30)


def test_the_environment_is_whitelisted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.setenv("SECRET", "s")
    seen = run_isolated(CHILD, {"do": "environment"}, timeout_s=30)
    assert not {"OMP_NUM_THREADS", "SECRET"} & set(seen)
    assert seen["ORT_DISABLE_TELEMETRY"] == "1"


def test_grandchildren_die_with_a_killed_worker(worker: Worker) -> None:
    pid = worker.request({"do": "spawn"}, timeout_s=30)
    assert is_alive(pid)
    worker.kill()
    assert gone_within(pid, 2)


def test_no_file_descriptor_is_left() -> None:
    run_isolated(CHILD, {"do": "echo", "value": 0}, timeout_s=30)
    before = open_files()
    run_isolated(CHILD, {"do": "echo", "value": 0}, timeout_s=30)
    with pytest.raises(SurroundingsError):
        run_isolated(CHILD, {"do": "exit"}, timeout_s=30)
    assert open_files() == before


def test_a_script_is_run_by_its_path_without_its_folder(tmp_path: Path) -> None:
    (tmp_path / "json.py").write_text("raise ImportError('the neighbour was imported')")
    script = tmp_path / "alone.py"
    script.write_text(
        "import json, os, sys\n"
        "reply = json.dumps({'result': json.loads(sys.stdin.readline())}) + '\\n'\n"
        "os.write(int(os.environ['FLEETFIT_RESULT_FD']), reply.encode())\n"
    )
    assert run_isolated(script, [1, 2], timeout_s=30) == [1, 2]
