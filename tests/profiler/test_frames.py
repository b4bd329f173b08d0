from __future__ import annotations

import dataclasses
import sys

import pytest

from fleetfit import GpuUse, InputError, SurroundingsError, Window
from profiler import frame
from profiler.frames import COLUMNS
from tests.profiler.stored import DEVICE, job, measured

FULL = measured(
    0.02,
    device=dataclasses.replace(DEVICE, gpus=("H200",)),
    versions={"onnxruntime": "1.31.1", "nvidia driver": "580.1"},
    samples_s=((0.02,) * 700, (0.021,) * 700),
    memory_bytes=2**21,
    memory_above_imports_bytes=2**20,
    status="noisy",
    flags=("capped", "disturbed"),
    measured_at="2026-11-01T00:00:00+00:00",
    import_s=1.5,
    first_run_s=0.5,
    build_s=0.25,
    gpu=GpuUse(name="H200", energy_j=3.5),
    windows=((Window(samples=700),),) * 2,
    device_samples_s=((0.004,) * 700,) * 2,
)


def test_a_row_says_what_the_measurement_says() -> None:
    (row,) = frame([FULL]).to_dict("records")
    query = FULL.job.query
    wanted = {
        "job_id": FULL.job.id, "device_name": "a", "device_class": FULL.device.device_class,
        "cpu_model": "c", "gpus": "H200", "protocol": "survey", "protocol_version": 1, "seed": 0,
        "runtime": "onnxruntime", "runtime_version": "1.31.1", "driver": "nvidia driver 580.1",
        "network": query.architecture.summary(), "network_id": query.architecture.cost_id,
        "target": "onnxruntime-fp32-1t", "target_id": query.target.id, "provider": "cpu",
        "precision": "fp32", "shapes": "dynamic", "threads": 1, "batch": 1, "seq_len": 128,
        "spinning": False, "padding": 0.0, "status": "noisy", "flags": "capped, disturbed",
        "measured_at": FULL.measured_at, "processes": 2, "samples": 1400,
        "latency_p50_s": FULL.latency_p50_s, "latency_p50_lower_s": FULL.interval_s()[0],
        "latency_p50_upper_s": FULL.interval_s()[1], "latency_p90_s": FULL.latency_p90_s,
        "calm_p50_s": FULL.calm_p50_s, "latency_p90_bound_s": FULL.bound_s(0.9), "lengths": None,
        "mild_outliers": FULL.outliers[0], "severe_outliers": FULL.outliers[1],
        "device_p50_s": 0.004,
        "latency_p99_s": FULL.latency_p99_s, "noise": FULL.noise,
        "throughput_per_s": FULL.throughput_per_s, "memory_bytes": 2**21,
        "memory_above_imports_bytes": 2**20, "file_bytes": 10, "load_s": 0.1, "import_s": 1.5,
        "first_run_s": 0.5, "build_s": 0.25, "energy_j": 3.5,
    }  # fmt: skip
    assert {name: value for name, value in row.items() if name != "model_sha256"} == wanted
    assert list(row) == list(COLUMNS)


def test_what_was_not_measured_is_missing() -> None:
    found = frame([measured(), measured(job=job(1))])
    missing = {name for name in found.columns if found[name].isna().all()}
    assert missing == {
        "gpus", "driver", "model_sha256", "measured_at", "latency_p99_s", "memory_bytes",
        "memory_above_imports_bytes", "import_s", "first_run_s", "build_s", "energy_j", "lengths",
        "calm_p50_s", "device_p50_s", "latency_p90_bound_s",
    }  # fmt: skip
    assert list(found["seed"]) == [0, 1]


def test_the_types_do_not_depend_on_the_rows() -> None:
    types = [str(t) for t in frame([]).dtypes]
    assert types == [str(t) for t in frame([FULL]).dtypes]
    assert types == [str(t) for t in frame([measured()]).dtypes]


def test_versions_mix_only_where_that_is_asked_for() -> None:
    rows = [measured(), measured(versions={"onnxruntime": "1.32.0"})]
    with pytest.raises(InputError, match=r"version of onnxruntime, but got 1.31.1, 1.32.0"):
        frame(rows)
    assert list(frame(rows, mixed=True)["runtime_version"]) == ["1.31.1", "1.32.0"]


def test_without_pandas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(SurroundingsError, match=r"pip install 'fleetfit\[tables\]'"):
        frame([FULL])
