"""A measurement keeps raw samples; its figures against hand computation."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given

from fleetfit import (
    Architecture,
    InputError,
    Job,
    Measurement,
    Query,
    Target,
    Window,
    Workload,
    versions_of,
)
from fleetfit.statistics import bootstrap_interval
from tests.fleetfit.strategies import assert_round_trip, jobs, measurements
from tests.fleetfit.test_device import DEVICE

SAMPLES = ((0.001, 0.003, 0.002), (0.004, 0.005, 0.006, 0.1), (0.002, 0.002))


@pytest.fixture
def measurement(tiny_source: Architecture) -> Measurement:
    query = Query(
        architecture=tiny_source, target=Target(runtime="openvino"), workload=Workload(batch=4)
    )
    return Measurement(
        job=Job(query=query, protocol="verify"),
        device=DEVICE,
        samples_s=SAMPLES,
        memory_bytes=None,
        memory_above_imports_bytes=None,
        file_bytes=100,
        load_s=0.5,
    )


@given(jobs)
def test_job_round_trip(job: Job) -> None:
    assert_round_trip(job)


@given(measurements)
def test_measurement_round_trip(measurement: Measurement) -> None:
    assert_round_trip(measurement)


def test_figures_by_hand(measurement: Measurement) -> None:
    # medians 2, 5, 2 ms; 90th percentiles 3, 100, 2 ms; 4 sequences in 2 ms
    assert measurement.latency_p50_s == 0.002
    assert measurement.latency_p90_s == 0.003
    assert measurement.throughput_per_s == pytest.approx(2000)
    # mean 3, deviation sqrt(3), standard error 1, relative 1/3
    assert measurement.noise == pytest.approx(1 / 3)
    assert measurement.interval_s() == bootstrap_interval(SAMPLES)
    assert measurement.interval_s(0.9) == bootstrap_interval(SAMPLES, share=0.9)


def test_a_99th_percentile_takes_enough_samples(measurement: Measurement) -> None:
    assert measurement.latency_p99_s is None
    many = tuple(float(k) for k in range(1, 663))
    found = dataclasses.replace(measurement, samples_s=(many, many))
    assert found.latency_p99_s == 656  # the 656th of 662
    fewer = dataclasses.replace(measurement, samples_s=(many, many[1:]))
    assert fewer.latency_p99_s is None


def test_calm_windows_have_a_median_of_their_own(measurement: Measurement) -> None:
    assert measurement.calm_p50_s is None
    hit = Window(samples=1, tags=("steal",))
    windows = ((hit, Window(samples=2)), (Window(samples=4),), (hit, hit))
    found = dataclasses.replace(measurement, windows=windows)
    # 2 of (3, 2) ms and 5 of (4, 5, 6, 100) ms; nothing of the third process is left.
    assert found.calm_p50_s == pytest.approx(0.0035)


def test_only_versions_of_the_target_s_runtime_matter() -> None:
    device = dataclasses.replace(DEVICE, versions={"onnxruntime": "1", "openvino": "2"})
    assert versions_of(Target(runtime="openvino"), device) == {"openvino": "2"}
    assert versions_of(Target(runtime="openvino"), DEVICE) == {
        k: v for k, v in DEVICE.versions.items() if k == "openvino"
    }


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"samples_s": ()}, "samples for every process"),
        ({"samples_s": ((0.1,), ())}, "samples for every process"),
        ({"samples_s": ((0.0,),)}, "positive finite seconds"),
        ({"samples_s": ((float("nan"),),)}, "positive finite seconds"),
        ({"samples_s": ((float("inf"),),)}, "positive finite seconds"),
        ({"file_bytes": -1}, "file_bytes >= 0"),
        ({"load_s": float("nan")}, "load_s >= 0"),
        ({"load_s": -0.1}, "load_s >= 0"),
        ({"status": "fine"}, "Measurement.status must be one of"),
    ],
)
def test_a_measurement_that_cannot_be_is_refused(
    measurement: Measurement, fields: dict[str, Any], says: str
) -> None:
    with pytest.raises(InputError, match=says):
        dataclasses.replace(measurement, **fields)


def test_a_job_is_known_by_cost_protocol_seed_and_model(measurement: Measurement) -> None:
    job = measurement.job
    moved = tuple(dataclasses.replace(y, source=9) for y in job.query.architecture.layers)
    other = dataclasses.replace(job.query.architecture, layers=moved)
    same = dataclasses.replace(job, query=dataclasses.replace(job.query, architecture=other))
    assert same.id == job.id
    changes: list[dict[str, Any]] = [
        {"protocol": "survey"},
        {"protocol_version": 2},
        {"seed": 1},
        {"model_sha256": "ab"},
        {"query": dataclasses.replace(job.query, workload=Workload())},
    ]
    ids = {job.id, *(dataclasses.replace(job, **change).id for change in changes)}
    assert len(ids) == 6


def test_an_unknown_protocol_is_refused(measurement: Measurement) -> None:
    with pytest.raises(InputError, match=r"Job.protocol must be one of 'survey', 'verify'"):
        dataclasses.replace(measurement.job, protocol="guess")  # type: ignore[arg-type]


def test_only_the_runtime_that_measured_makes_it_out_of_date(measurement: Measurement) -> None:
    found = dataclasses.replace(measurement, versions={"openvino": "1", "onnxruntime": "1"})
    others = {"openvino": "1", "onnxruntime": "2"}
    assert found.is_current(dataclasses.replace(DEVICE, versions=others))
    assert not found.is_current(dataclasses.replace(DEVICE, versions={"openvino": "2"}))
    assert not found.is_current(dataclasses.replace(DEVICE, versions={}))


def test_of_a_gpu_the_driver_s_version_counts_too() -> None:
    found = {"onnxruntime": "1", "openvino": "2", "nvidia-driver": "590"}
    device = dataclasses.replace(DEVICE, versions=found)
    on_cpu = Target(runtime="onnxruntime")
    assert versions_of(on_cpu, device) == {"onnxruntime": "1"}
    # Target knows no GPU yet; these two fields are all that is read.
    on_gpu = cast(Target, SimpleNamespace(runtime="onnxruntime", provider="cuda"))
    assert versions_of(on_gpu, device) == {"onnxruntime": "1", "nvidia-driver": "590"}
    assert versions_of(on_gpu, dataclasses.replace(DEVICE, versions={})) == {}
