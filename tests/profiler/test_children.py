"""Real children: survey, memory and verify on tiny networks with shortened protocols."""

from __future__ import annotations

import dataclasses
import importlib.util
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType

import pytest

from devices import machine_lock
from exporters import emit, random_weights
from fleetfit import DeviceInfo, InputError, Query, SurroundingsError, Target
from profiler import (
    ModelFile,
    Store,
    SurveySettings,
    VerifyProtocol,
    VerifySettings,
    survey,
    verified,
    verify,
)
from profiler.bench import Bench
from profiler.fake import FakeBench
from profiler.protocol import DisturbanceLimits
from profiler.workers import WorkerBench

SCRIPT = Path(__file__).parent / "surveying.py"
ANYTHING_GOES = DisturbanceLimits(
    steal=10.0, other_load=1000.0, waiting=10.0, switches=10**9, reference=1000.0
)
QUICK = VerifyProtocol(
    processes=2, most_processes=2, memory_processes=1, disagreement=1000.0, statistics_gap=1000.0,
    look_s=0.01, wait_s=0.0, limits=ANYTHING_GOES, warmup_s=0.01, settle_cap_s=0.1,
    sample_s=0.05, min_samples=8,
    half_width=1.0, window_s=0.02, window_ratio=100.0, cap_s=2.0, settle_quartiles=100.0,
    settle_mad=100.0,
)  # fmt: skip


@pytest.fixture(scope="module")
def surveying() -> ModuleType:
    spec = importlib.util.spec_from_file_location("surveying", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(params=["fake", "workers"])
def bench(request: pytest.FixtureRequest, alone: Path, surveying: ModuleType) -> Bench:
    if request.param == "fake":
        return FakeBench()
    return WorkerBench(alone, surveying.FAST.protocol)


def test_contract_of_a_bench(bench: Bench, surveying: ModuleType) -> None:
    query: Query = surveying.queries(1)[0]
    before = bench.now_s()
    try:
        first, second = (bench.visit(query, seed=0) for _ in range(2))
        assert first.latency_s > 0
        assert first.file_bytes == second.file_bytes > 0
        assert first.properties == second.properties != {}
        assert bench.reference(query.target) > 0
        memory = bench.memory(query, seed=0)
        assert 0 <= memory.above_imports_bytes < memory.peak_bytes
        assert bench.now_s() > before
    finally:
        bench.close()


def test_a_survey_of_both_runtimes(
    store: Store, device: DeviceInfo, alone: Path, surveying: ModuleType
) -> None:
    pytest.importorskip("openvino")
    query = surveying.queries(1)[0]
    other = Query(
        architecture=query.architecture,
        target=Target(runtime="openvino", shapes="fixed"),
        workload=query.workload,
    )
    found = survey([query, other], store=store, device=device, settings=surveying.FAST)
    assert [m.job.query for m in found] == [query, other]
    assert store.measurements() == sorted(found, key=store.measurements().index)
    assert found[1].properties["INFERENCE_PRECISION_HINT"] == "f32"
    assert found[0].versions == {"onnxruntime": device.versions["onnxruntime"]}
    assert [p.name for p in alone.iterdir()] == ["lock"]


def test_a_held_machine_is_refused(
    store: Store, device: DeviceInfo, alone: Path, surveying: ModuleType
) -> None:
    settings = SurveySettings(lock_wait_s=0)
    with machine_lock("a verification"), pytest.raises(SurroundingsError, match="a verification"):
        survey(surveying.queries(1), store=store, device=device, settings=settings)


def test_a_survey_child_that_is_not_there(alone: Path, surveying: ModuleType) -> None:
    bench = WorkerBench(alone, surveying.FAST.protocol, module="profiler.no_child")
    with pytest.raises(SurroundingsError, match=r"no_child.*It was measuring .* in onnxruntime"):
        bench.visit(surveying.queries(1)[0], seed=0)
    with pytest.raises(
        SurroundingsError, match="No module named"
    ):  # another child, not "has ended"
        bench.visit(surveying.queries(1)[0], seed=0)
    bench.close()


def rows(path: Path) -> list[tuple[str, int]]:
    """(job, row) of every measurement and visit."""
    raw = sqlite3.connect(path)
    try:
        parts = ("SELECT job_id, -1 FROM measurements", "SELECT job_id, id FROM visits")
        return [row for part in parts for row in raw.execute(part).fetchall()]
    except sqlite3.OperationalError:
        return []
    finally:
        raw.close()


@pytest.mark.parametrize(
    "number", [signal.SIGKILL, signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)]
)
def test_killed_it_goes_on_where_it_stopped(
    tmp_path: Path, device: DeviceInfo, alone: Path, surveying: ModuleType, number: signal.Signals
) -> None:
    path = tmp_path / "store.db"
    environment = os.environ | {"TMPDIR": str(alone)}
    command = [sys.executable, str(SCRIPT), f"sqlite:///{path}", "8", str(alone / "lock")]
    process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    end = time.monotonic() + 60
    while len(rows(path)) < 3 and process.poll() is None and time.monotonic() < end:
        time.sleep(0.02)
    process.send_signal(number)
    process.wait(30)
    kept = rows(path)
    assert len(kept) >= 3
    with Store(f"sqlite:///{path}") as store:
        before = {m.job.id: m for m in store.measurements()}
        notes: list[tuple[int, int]] = []
        found = survey(
            surveying.queries(8),
            store=store,
            device=device,
            settings=surveying.FAST,
            progress=lambda d, n, _: notes.append((d, n)),
        )
        assert len(store.measurements()) == len(found) == 8
    visits = sum(1 for _, row in kept if row >= 0)
    if notes:  # else all was done when the signal came
        assert notes[0][0] == 2 * len(before) + visits
    assert all(found[i] == before[m.job.id] for i, m in enumerate(found) if m.job.id in before)
    assert all(len(m.samples_s) == 2 for m in found)
    assert [p.name for p in alone.iterdir()] == ["lock"]


def test_verify_with_random_weights(device: DeviceInfo, alone: Path, surveying: ModuleType) -> None:
    query = surveying.queries(1)[0]
    seen: list[int] = []
    settings = VerifySettings(protocol=QUICK)
    found = verify(query, device=device, settings=settings, progress=lambda d, n, _: seen.append(d))
    assert (found.status, len(found.samples_s), found.job.model_sha256) == ("ok", 2, None)
    assert found.memory_bytes is not None
    assert seen[-1] == 3
    assert seen == sorted(seen)
    assert all(w.reference_s for windows in found.windows for w in windows)
    assert [r.stage for r in found.memory[0]] == ["imports", "load", "warm", "steady"]
    assert found.memory_bytes == found.memory[0][-1].peak_bytes
    assert found.versions == {"onnxruntime": device.versions["onnxruntime"]}
    assert None not in (found.import_s, found.first_run_s, found.build_s)


def test_verify_of_a_model_file_that_never_settles(
    device: DeviceInfo, alone: Path, surveying: ModuleType, tmp_path: Path
) -> None:
    import onnx

    query = surveying.queries(1)[0]
    path = tmp_path / "model.onnx"
    onnx.save(emit(query.architecture, random_weights(query.architecture, seed=1)), path)
    protocol = dataclasses.replace(QUICK, processes=1, most_processes=1, half_width=1e-9, cap_s=0.2)
    settings = VerifySettings(protocol=protocol, memory=False)
    found = verify(ModelFile(query=query, path=path), device=device, settings=settings)
    assert (found.status, found.flags) == ("unstable", ("capped",))
    assert found.build_s is None
    assert found.file_bytes == path.stat().st_size
    assert found.job.model_sha256 is not None
    assert found.memory_bytes is None


def test_verify_of_no_model(
    device: DeviceInfo, alone: Path, surveying: ModuleType, tmp_path: Path
) -> None:
    query = surveying.queries(1)[0]
    with pytest.raises(InputError, match=r"absent\.onnx is not there"):
        verify(ModelFile(query=query, path=tmp_path / "absent.onnx"), device=device)
    (tmp_path / "broken.onnx").write_bytes(b"no model")
    with pytest.raises(InputError, match="must be able to load"):
        verify(ModelFile(query=query, path=tmp_path / "broken.onnx"), device=device)


def test_a_verification_is_made_once_for_each_version(
    store: Store, device: DeviceInfo, alone: Path, surveying: ModuleType
) -> None:
    query = surveying.queries(1)[0]
    settings = VerifySettings(protocol=QUICK, memory=False)
    (found,) = verified([query], store=store, device=device, settings=settings)
    assert verified([query, query], store=store, device=device, settings=settings) == [found] * 2
    updated = dataclasses.replace(device, versions={"onnxruntime": "9"})
    (again,) = verified([query], store=store, device=updated, settings=settings)
    assert again.versions == {"onnxruntime": "9"}
    assert store.measurements() == [found, again]
