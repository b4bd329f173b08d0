from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fleetfit import InputError, LayerTable
from predictors import CostPredictor, learn
from predictors.fake import FAST, SLOW, WORKLOAD, measurements, networks


@pytest.fixture(scope="module")
def predictor() -> CostPredictor:
    made = learn(measurements(networks(60, seed=1)), "latency_p50")[0]
    assert made.reports[0].rounds > 0  # trees are part of what these tests are about
    return made


@pytest.fixture
def saved(predictor: CostPredictor, tmp_path: Path) -> Path:
    predictor.save(tmp_path / "latency")
    return tmp_path / "latency"


def _edit(path: Path, **changes: object) -> None:
    file = path / "predictor.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


def test_a_loaded_predictor_predicts_the_same(predictor: CostPredictor, saved: Path) -> None:
    back = CostPredictor.load(saved)
    table = LayerTable.of(networks(50, seed=5))
    for target in (FAST, SLOW):
        got = back.predict_table(table, target, WORKLOAD)
        expected = predictor.predict_table(table, target, WORKLOAD)
        for name in ("mean", "lower", "upper"):
            np.testing.assert_array_equal(getattr(got, name), getattr(expected, name))
    assert back.reports == predictor.reports
    assert (back.metric, back.provenance) == (predictor.metric, predictor.provenance)


def test_equal_predictors_give_equal_files(predictor: CostPredictor, tmp_path: Path) -> None:
    for name in ("a", "b"):
        predictor.save(tmp_path / name)
    for file in (tmp_path / "a").iterdir():
        assert file.read_bytes() == (tmp_path / "b" / file.name).read_bytes()


def test_a_directory_of_something_else_is_left_alone(
    predictor: CostPredictor, tmp_path: Path
) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(InputError, match="new or empty"):
        predictor.save(tmp_path)
    assert [f.name for f in tmp_path.iterdir()] == ["thesis.txt"]


def test_another_format_version_is_refused(saved: Path) -> None:
    _edit(saved, format_version=99)
    with pytest.raises(InputError, match="format version 2, but got 99"):
        CostPredictor.load(saved)


def test_other_features_are_refused(saved: Path) -> None:
    _edit(saved, terms=["network"])
    with pytest.raises(InputError, match="features of this version"):
        CostPredictor.load(saved)


def test_another_metric_than_its_models_is_refused(saved: Path) -> None:
    _edit(saved, metric="latency_p90")
    with pytest.raises(InputError, match="agree in metric"):
        CostPredictor.load(saved)


def test_changed_trees_are_refused_by_name(saved: Path) -> None:
    file = next(saved.glob("trees-*.json"))
    file.write_bytes(file.read_bytes().replace(b"0", b"1", 1))
    with pytest.raises(InputError, match=f"{file.name} must be unchanged"):
        CostPredictor.load(saved)


def test_missing_trees_are_refused_by_name(saved: Path) -> None:
    file = next(saved.glob("trees-*.json"))
    file.unlink()
    with pytest.raises(InputError, match=file.name):
        CostPredictor.load(saved)


def test_a_missing_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="must be an existing file"):
        CostPredictor.load(tmp_path / "nowhere")


@given(cut=st.integers(0, 2000), junk=st.binary(max_size=8))
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_truncated_or_overwritten_file_is_an_input_error(
    saved: Path, cut: int, junk: bytes
) -> None:
    file = saved / "predictor.json"
    whole = file.read_bytes()
    spoilt = whole[: min(cut, len(whole) - 2)] + junk
    try:
        file.write_bytes(spoilt)
        with pytest.raises(InputError, match="must"):
            CostPredictor.load(saved)
    finally:
        file.write_bytes(whole)
