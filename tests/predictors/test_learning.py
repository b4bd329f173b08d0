from __future__ import annotations

import dataclasses

import pytest

from fleetfit import InputError, Measurement
from predictors import CostSettings, evaluate, learn
from predictors.fake import FAST, SLOW, device, measurements, networks

QUICK = CostSettings(folds=3, residual=False)


def _rows(count: int = 12) -> list[Measurement]:
    return measurements(networks(count, seed=0), targets=(FAST,))


def test_there_is_one_report_for_each_target() -> None:
    rows = measurements(networks(10, seed=0))
    predictor, reports = learn(rows, "latency_p50", settings=QUICK)
    assert [r.target for r in reports] == [FAST, SLOW]
    assert all(r.method == "cross-validation" and r.tested == 10 for r in reports)
    assert predictor.reports == reports


def test_the_report_holds_noise_and_spread() -> None:
    rows = _rows()
    report = learn(rows, "latency_p50", settings=QUICK)[1][0]
    latencies = [m.latency_p50_s for m in rows]
    assert report.noise == pytest.approx(sorted(m.noise for m in rows)[5], rel=1)
    assert report.spread == pytest.approx(max(latencies) / min(latencies))


def test_rows_without_the_metric_are_skipped() -> None:
    rows = _rows()
    rows[0] = dataclasses.replace(rows[0], memory_bytes=None)
    assert learn(rows, "memory", settings=QUICK)[1][0].learned == 11


def test_no_row_with_the_metric_is_refused() -> None:
    rows = [dataclasses.replace(m, memory_bytes=None) for m in _rows()]
    with pytest.raises(InputError, match="must hold memory"):
        learn(rows, "memory")


def test_unstable_rows_are_learned_from_but_not_tested_on() -> None:
    rows = _rows()
    rows[3] = dataclasses.replace(rows[3], status="unstable")
    report = learn(rows, "latency_p50", settings=QUICK)[1][0]
    assert (report.learned, report.tested) == (12, 11)


def test_mixed_device_classes_are_refused_by_name() -> None:
    rows = _rows()
    other = device(cores=4)
    rows[0] = dataclasses.replace(rows[0], device=other)
    with pytest.raises(InputError, match=f"one device class.*{other.device_class}"):
        learn(rows, "latency_p50")


def test_mixed_protocol_versions_are_refused_by_name() -> None:
    rows = _rows()
    job = dataclasses.replace(rows[0].job, protocol_version=2)
    rows[0] = dataclasses.replace(rows[0], job=job)
    with pytest.raises(InputError, match="version of the survey protocol, but got 1, 2"):
        learn(rows, "latency_p50")


def test_mixed_runtime_versions_are_refused_by_name() -> None:
    rows = _rows()
    rows[0] = dataclasses.replace(rows[0], device=device(openvino="2025.1"))
    with pytest.raises(InputError, match=r"version of openvino, but got 2025\.1, 2026\.4\.1"):
        learn(rows, "latency_p50")


def test_verified_rows_may_join_a_survey() -> None:
    rows = _rows()
    rows[0] = dataclasses.replace(
        rows[0], job=dataclasses.replace(rows[0].job, protocol="verify", protocol_version=3)
    )
    predictor, _ = learn(rows, "latency_p50", settings=QUICK)
    assert predictor.provenance.protocols == {"survey": 1, "verify": 3}


def test_held_out_reports_leave_unstable_rows_out() -> None:
    predictor, _ = learn(_rows(), "latency_p50", settings=QUICK)
    held = measurements(networks(9, seed=9), targets=(FAST,), seed=1)
    held[0] = dataclasses.replace(held[0], status="unstable")
    report = evaluate(predictor, held)[0]
    assert (report.method, report.learned, report.tested) == ("held out", 12, 8)
