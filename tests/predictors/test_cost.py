from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from fleetfit import InputError, LayerTable, Query, Target, Workload
from predictors import CostPredictor, Provenance, evaluate, learn
from predictors.fake import (
    FAST,
    SLOW,
    WORKLOAD,
    device,
    measurements,
    networks,
    plain,
    true_latency_s,
)
from supernet.spaces import ElasticSpace


@pytest.fixture(scope="module")
def learned() -> CostPredictor:
    return learn(measurements(networks(60, seed=1)), "latency_p50")[0]


@pytest.mark.parametrize("target", [FAST, SLOW], ids=str)
def test_sixty_rows_predict_the_known_law(learned: CostPredictor, target: Target) -> None:
    table = LayerTable.of(networks(200, seed=2))
    truth = true_latency_s(table, target)
    got = learned.predict_table(table, target, WORKLOAD)
    assert np.mean(np.abs(got.mean - truth) / truth) < 0.04
    assert np.mean((got.lower <= truth) & (truth <= got.upper)) > 0.85


def test_figures_wanted_of_real_devices_hold_on_the_known_law(learned: CostPredictor) -> None:
    for report in evaluate(learned, measurements(networks(60, seed=2), seed=5)):
        assert report.errors.mape <= 0.05
        assert report.errors.within_10 >= 0.93
        assert report.errors.tau >= 0.90
        assert report.coverage >= 0.83


def test_trees_find_the_step_and_leave_the_linear_device_alone(learned: CostPredictor) -> None:
    reports = {r.target: r for r in learned.reports}
    assert reports[FAST].rounds > 0
    assert reports[FAST].errors.mape < reports[FAST].linear.mape
    assert reports[SLOW].errors.mape < 1.1 * reports[SLOW].linear.mape


def test_memory_is_learned() -> None:
    predictor, reports = learn(measurements(networks(40, seed=1), targets=(SLOW,)), "memory")
    assert reports[0].errors.mape < 0.01
    assert predictor.metric == "memory"


def test_a_disturbed_row_weighs_little() -> None:
    architectures = networks(30, seed=1)
    y = true_latency_s(LayerTable.of(architectures), SLOW)
    queries = [Query(architecture=a, target=SLOW, workload=WORKLOAD) for a in architectures]
    clean = CostPredictor(metric="latency_p50").fit(queries, y).predict(queries).mean
    noise = np.zeros(30)
    noise[::6], y[::6] = 0.3, 1.3 * y[::6]
    got = CostPredictor(metric="latency_p50").fit(queries, y, noise=noise).predict(queries).mean
    assert np.mean(np.abs(got - clean) / clean) < 0.01


def test_an_unknown_target_is_refused_by_name(learned: CostPredictor) -> None:
    other = Target(runtime="openvino", precision="bf16", threads=2)
    with pytest.raises(InputError, match=r"openvino-fp32-2t.*but got openvino-bf16-2t"):
        learned.predict_table(LayerTable.of(networks(1, seed=0)), other, WORKLOAD)


def test_an_unknown_workload_is_refused(learned: CostPredictor) -> None:
    known = r"learned for \(batch 1, 128 tokens\), but got batch 1, 64 tokens; profile"
    with pytest.raises(InputError, match=known):
        learned.predict_table(LayerTable.of(networks(1, seed=0)), FAST, Workload(seq_len=64))


def test_workloads_are_learned_apart_and_named_apart(tmp_path: Path) -> None:
    """Reference: the second workload's truth is twice the first's."""
    laws = [Workload(lengths=(5, 7, middle, 12, 20)) for middle in (9, 7)]
    alike = Workload(lengths=(5, 8, 9, 11, 20))
    assert str(laws[0]) == str(alike)
    architectures = networks(20, seed=1)
    truth = true_latency_s(LayerTable.of(architectures), SLOW)
    queries = [Query(architecture=a, target=SLOW, workload=w) for w in laws for a in architectures]
    y = np.concatenate([truth, 2 * truth])
    CostPredictor(metric="latency_p50").fit(queries, y).save(tmp_path / "p")
    kept = CostPredictor.load(tmp_path / "p")
    table = LayerTable.of(architectures)
    found = [kept.predict_table(table, SLOW, w).mean for w in laws]
    assert found[1] == pytest.approx(2 * found[0], rel=1e-6)
    with pytest.raises(InputError, match=r"median 7; .* median 9\), but .*\(other quantiles\)"):
        kept.predict_table(table, SLOW, alike)


def test_too_few_networks_are_refused() -> None:
    with pytest.raises(InputError, match=r"At least 8 networks .* but got 7"):
        learn(measurements(networks(7, seed=0), targets=(FAST,)), "latency_p50")


def test_where_nothing_is_learned_the_nearest_is_named() -> None:
    rows = measurements(networks(3, seed=0), targets=(FAST,))
    rows += measurements(networks(7, seed=0), targets=(SLOW,))
    said = rf"on {SLOW} \(batch 1, 128 tokens\), but got 7, the most of 2 targets and workloads;"
    with pytest.raises(InputError, match=said):
        learn(rows, "latency_p50")


def test_a_network_measured_often_counts_once() -> None:
    rows = measurements(networks(4, seed=0), targets=(FAST,)) * 3
    with pytest.raises(InputError, match="but got 4"):
        learn(rows, "latency_p50")


def test_stale_names_what_has_changed() -> None:
    provenance = Provenance(device_class=device().device_class, versions={"openvino": "2026.4.1"})
    predictor = CostPredictor(metric="memory", provenance=provenance)
    assert predictor.stale(device()) == ()
    assert predictor.stale(device(openvino="2026.5.0")) == ("openvino 2026.4.1 -> 2026.5.0",)
    assert "device class" in predictor.stale(device(cores=4))[0]


def test_ten_thousand_genomes_take_less_than_a_second(learned: CostPredictor) -> None:
    members = ElasticSpace.of(plain(6, 384, 12, 1536))
    draws = np.random.default_rng(0).integers(0, 99, size=(10_000, len(members.gene_sizes)))
    genomes = members.repair(draws)
    assert learned._model(FAST, WORKLOAD).residual.rounds > 0
    learned.predict_table(members.layer_table(genomes[:10]), FAST, WORKLOAD)
    start = time.perf_counter()
    answer = learned.predict_table(members.layer_table(genomes), FAST, WORKLOAD)
    assert time.perf_counter() - start < 1.0
    assert len(answer) == 10_000


def test_widths_are_wider_where_nothing_like_it_was_measured() -> None:
    shallow = [a for a in networks(80, seed=0) if len(a.layers) < 5]
    predictor, _ = learn(measurements(shallow, targets=(SLOW,)), "latency_p50")
    unseen = [a for a in networks(200, seed=9) if len(a.layers) != 5]
    deep = np.array([len(a.layers) == 6 for a in unseen])
    width = predictor.width_table(LayerTable.of(unseen), SLOW, WORKLOAD)
    assert np.median(width[deep]) > np.median(width[~deep])
    found = predictor.predict_table(LayerTable.of(unseen), SLOW, WORKLOAD)
    assert (width >= (found.upper - found.lower) / found.mean - 1e-12).all()


def test_widths_of_a_predictor_from_disk_are_refused(tmp_path: Path) -> None:
    predictor, _ = learn(measurements(networks(10, seed=0)), "latency_p50", folds=2)
    predictor.save(tmp_path / "costs")
    back = CostPredictor.load(tmp_path / "costs")
    with pytest.raises(InputError, match="just learned"):
        back.width_table(LayerTable.of(networks(3, seed=1)), SLOW, WORKLOAD)
