from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from fleetfit import InputError, Measurement, Status
from predictors import evaluate, learn
from predictors.fake import FAST, SLOW, device, measurements, networks
from predictors.metric import noise_of

QUICK = 3  # folds


def _rows(count: int = 12) -> list[Measurement]:
    return measurements(networks(count, seed=0), targets=(FAST,))


def test_there_is_one_report_for_each_target() -> None:
    rows = measurements(networks(10, seed=0))
    predictor, reports = learn(rows, "latency_p50", folds=QUICK)
    assert [r.target for r in reports] == [FAST, SLOW]
    assert all(r.method == "cross-validation" and r.tested == 10 for r in reports)
    assert predictor.reports == reports


def test_the_report_holds_noise_and_spread() -> None:
    rows = _rows()
    report = learn(rows, "latency_p50", folds=QUICK)[1][0]
    latencies = [m.latency_p50_s for m in rows]
    assert report.noise == pytest.approx(float(np.median([m.noise for m in rows])))
    assert report.spread == pytest.approx(max(latencies) / min(latencies))


def test_rows_without_the_metric_are_skipped() -> None:
    rows = _rows()
    rows[0] = dataclasses.replace(rows[0], memory_bytes=None)
    assert learn(rows, "memory", folds=QUICK)[1][0].learned == 11


def test_no_row_with_the_metric_is_refused() -> None:
    rows = [dataclasses.replace(m, memory_bytes=None) for m in _rows()]
    with pytest.raises(InputError, match="must hold memory"):
        learn(rows, "memory")


def test_unstable_rows_are_learned_from_but_not_tested_on() -> None:
    rows = _rows()
    rows[3] = dataclasses.replace(rows[3], status="unstable")
    report = learn(rows, "latency_p50", folds=QUICK)[1][0]
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
    assert learn(rows, "latency_p50", folds=QUICK)[1][0].learned == 12


def test_held_out_reports_leave_unstable_rows_out() -> None:
    predictor, _ = learn(_rows(), "latency_p50", folds=QUICK)
    held = measurements(networks(9, seed=9), targets=(FAST,), seed=1)
    held[0] = dataclasses.replace(held[0], status="unstable")
    report = evaluate(predictor, held)[0]
    assert (report.method, report.learned, report.tested) == ("held out", 12, 8)


def test_held_out_rows_must_be_like_those_learned_from() -> None:
    predictor, _ = learn(_rows(), "latency_p50", folds=QUICK)
    held = measurements(networks(9, seed=9), targets=(FAST,), seed=1)
    newer = [dataclasses.replace(m, device=device(openvino="2027.0")) for m in held]
    with pytest.raises(InputError, match=r"differ: openvino 2026\.4\.1 -> 2027\.0; choose"):
        evaluate(predictor, newer)
    with pytest.raises(InputError, match="one version of openvino"):
        evaluate(predictor, [*held, *newer])
    larger = [dataclasses.replace(m, device=device(cores=4)) for m in held]
    with pytest.raises(InputError, match="differ: device class"):
        evaluate(predictor, larger)
    assert evaluate(predictor, held)[0].tested == 9


def test_one_stray_measurement_is_left_out_by_name() -> None:
    rows = [*_rows(), *measurements(networks(1, seed=5), targets=(SLOW,))]
    for metric in ("latency_p50", "memory"):
        predictor, reports = learn(rows, metric, folds=QUICK)
        assert [r.target for r in reports] == [FAST]
        (said,) = predictor.dropped_.values()
        assert f"{metric} must be measured on {SLOW}" in said
        assert "but got 1" in said


def test_the_noise_of_the_high_percentile_is_its_own() -> None:
    tails = [(0.01, 0.01, 0.02 + 0.01 * i) for i in range(3)]
    rows = [dataclasses.replace(m, samples_s=tuple(tails)) for m in _rows()]
    found = {m: learn(rows, m, folds=QUICK)[1][0].noise for m in ("latency_p50", "latency_p90")}
    # 20, 30 and 40 ms: mean 30, deviation 10
    assert found == {"latency_p50": 0, "latency_p90": pytest.approx(1 / 3 / 3**0.5)}


def test_a_noisy_row_is_known_to_a_tenth_only() -> None:
    ok = _rows()[0]
    known: dict[Status, float] = {"ok": 0.0, "noisy": 0.1, "unstable": math.inf}
    for status, noise in known.items():
        row = dataclasses.replace(ok, status=status, samples_s=((0.01,), (0.01,)))
        assert noise_of(row, "latency_p50") == noise
    wide = dataclasses.replace(ok, status="noisy", samples_s=((0.01,), (0.03,)))
    assert noise_of(wide, "latency_p50") == pytest.approx(0.5)


def test_the_noise_of_memory_is_not_known() -> None:
    predictor, (report,) = learn(_rows(), "memory", folds=QUICK)
    assert report.noise is None
    assert evaluate(predictor, _rows())[0].noise is None
