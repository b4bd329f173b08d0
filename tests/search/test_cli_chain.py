"""Every verb in the order a user meets it, on a tiny model."""

from __future__ import annotations

from pathlib import Path

import pytest

import profiler
from exporters import load_bundle
from search import Candidate, Ranked
from search.cli import main
from search.record import SearchRecord, TriedRecord, VerifiedRecord, read_record
from tests.search.cli_fakes import SHAPE, TARGET, Fitted, fleetfit, measure_by_fake, refused


def test_the_whole_chain_ends_in_a_bundle_that_keeps_its_budgets(
    supernet: Path,
    corpus: Path,
    labelled: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    measure_by_fake(monkeypatch)
    run, bundle, store = tmp_path / "run", tmp_path / "bundle", tmp_path / "s.db"
    words = ("--text", corpus, "--tokens", 1000, "--head-tokens", 200, "--batch-tokens", 200)
    trained = fleetfit(capsys, "pretrain", supernet, run, *words, "--seq-lens", "16,8")
    assert trained == {"supernet": str(run / "supernet"), "steps": 6}

    losses = fleetfit(
        capsys, "evaluate", run / "supernet", "--text", corpus, "--windows", 8, "--seq-len", 16,
        "--store", store,
    )["members"]  # fmt: skip
    assert losses["largest"]["hidden_loss"] <= losses["smallest"]["hidden_loss"]

    profiling = ("profile", run / "supernet", "--store", store, *TARGET, *SHAPE)
    done = fleetfit(capsys, *profiling, "--networks", 10, "--memory-every", 1)
    assert done["measurements"] == 10
    reports = fleetfit(capsys, "learn", tmp_path / "costs", "--store", store)["reports"]
    assert [r["metric"] for r in reports] == ["latency_p50", "latency_p90", "memory"]

    searching = (
        "search",
        run / "supernet",
        tmp_path / "search",
        "--predictors",
        tmp_path / "costs",
    )
    limits = ("--budget", "latency_p50<=80%", "--budget", "memory<=400MiB")
    chosen = fleetfit(
        capsys, *searching, *limits, "--text", labelled, "--store", store, *SHAPE,
        "--evaluations", 12,
    )  # fmt: skip
    assert chosen["target"] == "onnxruntime-fp32-1t"  # which was learned, not named
    verified = fleetfit(capsys, "verify", tmp_path / "search", "--store", store)
    assert verified["network"] == chosen["network"]
    assert verified["measured_upper_s"] <= verified["limits"]["latency_p50"]

    tuning = ("--train", labelled, "--test", labelled, "--epochs", 1, "--max-length", 16)
    winner = ("--architecture", tmp_path / "search" / "winner.json")
    tuned = fleetfit(capsys, "finetune", run / "supernet", tmp_path / "tuned", *tuning, *winner)
    exported = fleetfit(
        capsys, "export", tmp_path / "tuned", bundle,
        "--verified", tmp_path / "search" / "verified.json",
        "--test", labelled, "--source-accuracy", 0.9, "--store", store,
    )  # fmt: skip
    assert exported["test_accuracy"] == pytest.approx(tuned["test_accuracy"], abs=0.05)

    manifest = load_bundle(bundle).manifest
    assert manifest.architecture.summary() == chosen["network"]
    assert manifest.labels == ("card", "money")
    assert manifest.metric is not None
    assert manifest.metric.source_value == 0.9
    assert manifest.predicted.latency_p50_s == verified["predicted_latency_s"]
    assert manifest.measured.latency_p50_s == verified["measured_latency_s"]

    (answer,) = fleetfit(capsys, "run", bundle, "I lost my card")["answers"]
    assert set(answer) == {"card", "money"}
    assert sum(answer.values()) == pytest.approx(1)
    again = tmp_path / "again.db"
    kept = fleetfit(capsys, "verify", bundle, "--store", again)
    with profiler.Store(str(again)) as opened:
        assert len(opened.measurements(protocol="verify")) == 1
    assert kept["measured_latency_s"] == verified["measured_latency_s"]
    measure_by_fake(monkeypatch, slower=10)
    assert "latency_p50<=" in refused(capsys, 3, "verify", bundle, "--store", store)


def test_next_never_comes_back_to_a_candidate(
    fitted: Fitted, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(fitted.search("--budget", "latency_p50<=90%")) == 0
    measure_by_fake(monkeypatch)
    verifying = ("verify", fitted.out, "--store", fitted.store)
    found = [fleetfit(capsys, *verifying)["network"]]
    found += [fleetfit(capsys, *verifying, "--next")["network"] for _ in range(2)]
    assert len(set(found)) == 3


def test_next_goes_on_after_five_misses(
    fitted: Fitted, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(fitted.search("--budget", "latency_p50<=90%")) == 0
    measure_by_fake(monkeypatch, slower=100)
    verifying = ("verify", fitted.out, "--store", fitted.store)
    refused(capsys, 3, *verifying)
    tried = read_record(fitted.out / "tried.json", TriedRecord).candidates
    measure_by_fake(monkeypatch)
    said = main([*map(str, verifying), "--next"])
    if said == 0:  # else no candidate was left
        won = read_record(fitted.out / "verified.json", VerifiedRecord)
        assert Candidate(architecture=won.architecture, target=won.target) not in tried
    assert said == (0 if len(tried) < len(ranking(fitted)) else 3)


def ranking(fitted: Fitted) -> tuple[Ranked, ...]:
    return read_record(fitted.out / "search.json", SearchRecord).ranking


def test_a_candidate_slower_than_predicted_is_a_miss_of_exit_code_3(
    fitted: Fitted, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(fitted.search("--budget", "latency_p50<=90%")) == 0
    measure_by_fake(monkeypatch, slower=100)
    said = refused(capsys, 3, "verify", fitted.out, "--store", fitted.store)
    assert "the nearest is" in said
    assert not (fitted.out / "verified.json").exists()


@pytest.mark.slow
def test_real_measurements_are_learned_from(
    supernet: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = ("--store", tmp_path / "s.db")
    sizes = ("--networks", 10, "--memory-every", 0)
    done = fleetfit(capsys, "profile", supernet, *store, *TARGET, *SHAPE, *sizes)
    assert done["measurements"] == 10
    with profiler.Store(str(tmp_path / "s.db")) as kept:
        assert len(kept.measurements(protocol="survey")) == 10
    assert fleetfit(capsys, "learn", tmp_path / "costs", *store)["reports"]
