"""Grids of workloads and laws of lengths, from profiling to a verified candidate."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from exporters import length_law, token_lengths
from fleetfit import Measurement, Query, Workload
from profiler import Store
from profiler.fake import FakeBench
from profiler.visit import Visit
from search.cli import main
from search.cli.workload_options import workloads_of
from search.record import SearchRecord, VerifiedRecord, read_record
from supernet.columns import read_column
from tests.search.cli_fakes import TARGET, Fitted, fleetfit, measure_by_fake, refused

SIZES = ("--labels", "2", "--networks", "10", "--memory-every", "1")


def measured(store: Path, protocol: str) -> list[Measurement]:
    """Everything stored by one protocol."""
    with Store(str(store)) as opened:
        return [m for m in opened.measurements() if m.job.protocol == protocol]


def law_of(supernet: Path, texts: Path, seq_len: int) -> tuple[int, ...]:
    """What texts give, step by step."""
    tokenizer = (supernet / "tokenizer.json").read_text()
    lengths = token_lengths(read_column(texts, "text"), tokenizer, max_length=seq_len)
    return length_law(lengths, seq_len=seq_len)


@pytest.fixture
def uneven(tmp_path: Path) -> Path:
    """1 to 18 words, as often as not one of the tokenizer's."""
    path = tmp_path / "texts.csv"
    rows = [f"{i},{' '.join(['the'] * (1 + i * i % 18))}" for i in range(50)]
    path.write_text("\n".join(["n,text", *rows]) + "\n")
    return path


@pytest.fixture
def grid(
    supernet: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Fitted:
    """Two batches with two lengths each, measured by the fake and learned."""
    measure_by_fake(monkeypatch)
    store, costs = tmp_path / "s.db", tmp_path / "costs"
    profiling = ("profile", supernet, "--store", store, *TARGET, *SIZES)
    done = fleetfit(capsys, *profiling, "--batch", "1,2", "--seq-len", "8,16,8")
    assert done["measurements"] == 40
    reports = fleetfit(capsys, "learn", costs, "--store", store)["reports"]
    assert len(reports) == 3 * 4
    text = tmp_path / "text.txt"
    text.write_text("the cat sat\non the mat\ni lost my card\n")
    return Fitted(supernet=supernet, store=store, costs=costs, text=text, out=tmp_path / "found")


def test_every_combination_is_measured_and_its_source_verified(grid: Fitted) -> None:
    wanted = {Workload(batch=b, seq_len=n) for b in (1, 2) for n in (8, 16)}
    rows = measured(grid.store, "survey")
    assert {m.job.query.workload for m in rows} == wanted
    verified = [m.job.query for m in measured(grid.store, "verify")]
    assert {q.workload for q in verified} == wanted
    assert len(verified) == 4
    assert len({q.architecture.cost_id for q in verified}) == 1


def test_a_larger_grid_measures_only_what_is_new(
    grid: Fitted, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    visited: list[Workload] = []
    visit = FakeBench.visit

    def noted(bench: FakeBench, query: Query, *, seed: int) -> Visit:
        visited.append(query.workload)
        return visit(bench, query, seed=seed)

    monkeypatch.setattr(FakeBench, "visit", noted)
    words = ("profile", grid.supernet, "--store", grid.store, *TARGET, *SIZES)
    fleetfit(capsys, *words, "--batch", "1,2,3", "--seq-len", "8,16")
    assert set(visited) == {Workload(batch=3, seq_len=n) for n in (8, 16)}


def test_a_search_is_of_one_workload_and_its_shares_too(
    grid: Fitted, capsys: pytest.CaptureFixture[str]
) -> None:
    """Reference: the fake's own latency of the source model under that workload."""
    words = grid.search("--batch", "2", "--seq-len", "8", "--budget", "latency_p50<=80%")
    limit = fleetfit(capsys, *words)["limits"]["latency_p50"]
    workload = Workload(batch=2, seq_len=8)
    queries = [m.job.query for m in measured(grid.store, "verify")]
    (source,) = (q for q in queries if q.workload == workload)
    assert limit == pytest.approx(0.8 * FakeBench.truth_s(source), rel=1e-6)
    fleetfit(capsys, "verify", grid.out, "--store", grid.store)
    assert read_record(grid.out / "search.json", SearchRecord).workload == workload
    found = read_record(grid.out / "verified.json", VerifiedRecord)
    assert found.workload == found.measurement.job.query.workload == workload


def test_tables_tell_workloads_apart_where_there_are_several(
    grid: Fitted, learned: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = [f"batch {b}, {n} tokens" for b in (1, 2) for n in (8, 16)]
    words = ["profile", str(grid.supernet), "--store", str(grid.store), *TARGET, *SIZES]
    assert main([*words, "--batch", "1,2", "--seq-len", "8,16"]) == 0
    assert main(["learn", str(tmp_path / "again"), "--store", str(grid.store)]) == 0
    measuring, _, learning = capsys.readouterr().err.partition("Predictors")
    for name in names:
        assert measuring.count(name) == 1
        assert learning.count(name) == 4  # three metrics, and what more would buy
    assert main(["learn", str(tmp_path / "one"), "--store", str(learned[0])]) == 0
    assert "tokens" not in capsys.readouterr().err


def test_what_was_not_profiled_is_told_with_what_was(
    grid: Fitted, capsys: pytest.CaptureFixture[str]
) -> None:
    limit = ("--budget", "latency_p50<=90%")
    said = refused(capsys, 2, *grid.search(*limit, "--batch", "4"))
    assert "learned for (batch 1, 8 tokens; batch 1, 16 tokens; batch 2, 8 tokens; " in said
    assert "but got batch 4, 16 tokens; profile it and learn again" in said
    assert "16 tokens, length 5;" in refused(capsys, 2, *grid.search(*limit, "--length", "5"))
    assert not grid.out.exists()


def test_lengths_of_texts_are_profiled_searched_and_verified(
    supernet: Path,
    uneven: Path,
    labelled: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    measure_by_fake(monkeypatch)
    store, costs = tmp_path / "s.db", tmp_path / "costs"
    law = ("--lengths-of", str(uneven))
    words = ("profile", supernet, "--store", store, *TARGET, *SIZES, *law)
    assert fleetfit(capsys, *words, "--seq-len", "8,16")["measurements"] == 20
    wanted = {Workload(seq_len=n, lengths=law_of(supernet, uneven, n)) for n in (8, 16)}
    assert {m.job.query.workload for m in measured(store, "survey")} == wanted
    assert {m.job.query.workload for m in measured(store, "verify")} == wanted

    fleetfit(capsys, "learn", costs, "--store", store)
    place = Fitted(
        supernet=supernet, store=store, costs=costs, text=labelled, out=tmp_path / "found"
    )
    limit = ("--budget", "latency_p50<=90%")
    fleetfit(capsys, *place.search(*limit, *law))
    fleetfit(capsys, "verify", place.out, "--store", store)
    found = read_record(place.out / "verified.json", VerifiedRecord)
    assert found.workload == found.measurement.job.query.workload
    assert str(found.workload).startswith("batch 1, 16 tokens, lengths 3 to 16, median ")

    place = Fitted(
        supernet=supernet, store=store, costs=costs, text=labelled, out=tmp_path / "other"
    )
    said = refused(capsys, 2, *place.search(*limit))
    assert "lengths 3 to 16" in said
    assert "but got batch 1, 16 tokens; profile" in said


def test_the_column_of_a_table_is_named(supernet: Path, uneven: Path, tmp_path: Path) -> None:
    renamed = tmp_path / "renamed.csv"
    renamed.write_text(uneven.read_text().replace("n,text", "n,words"))
    given = workloads_of(
        supernet, (2, 2), (16,), length=None, lengths_of=renamed, text_column="words"
    )
    assert given == (Workload(batch=2, seq_len=16, lengths=law_of(supernet, uneven, 16)),)


def test_a_fixed_length_that_fills_the_sequence_is_no_padding(supernet: Path) -> None:
    given = workloads_of(supernet, (1,), (8, 16), length=8, lengths_of=None, text_column=None)
    assert given == (Workload(seq_len=8), Workload(seq_len=16, lengths=(8,)))


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (("--batch", "1,x"), "--batch must be whole numbers with commas"),
        (("--seq-len", ""), "--seq-len must be whole numbers with commas"),
        (("--batch", "0", "--seq-len", "16"), "batch >= 1"),
        (("--seq-len", "0,16"), "seq_len >= 1"),
        (("--seq-len", "16,41"), "--seq-len must be at most 40"),
        (("--seq-len", "8,16", "--length", "9"), "from 1 to its 8 tokens, but got 9"),
        (("--seq-len", "16", "--length", "0"), "from 1 to its 16 tokens, but got 0"),
        (("--length", "4", "--lengths-of", "t.csv"), "got both; leave one out"),
        (("--text-column", "words"), "--text-column must come with --lengths-of"),
        (("--seq-len", "1", "--lengths-of", "t.csv"), "2 tokens or more"),
        (("--seq-len", "16", "--lengths-of", "t.csv", "--text-column", "b"), "it has: n, text"),
        (("--seq-len", "16", "--lengths-of", "empty.txt"), "must hold text, but it is empty"),
        (("--seq-len", "16", "--lengths-of", "latin.txt"), "must be UTF-8 text"),
        (("--seq-len", "16", "--lengths-of", "none.txt"), "must be an existing text file"),
    ],
    ids=str,
)
def test_workloads_that_cannot_be_are_refused_before_anything_is_measured(
    supernet: Path,
    uneven: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, ...],
    wanted: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    uneven.rename(tmp_path / "t.csv")
    Path("empty.txt").write_text("\n \n")
    Path("latin.txt").write_bytes(b"caf\xe9\n")
    given = ("profile", supernet, "--store", "s.db", *TARGET, *words)
    assert wanted in refused(capsys, 2, *given)
    assert not Path("s.db").exists()


@pytest.mark.parametrize("content", [None, "no tokenizer"])
def test_a_tokenizer_must_be_there_and_be_one(
    supernet: Path,
    uneven: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    content: str | None,
) -> None:
    damaged = tmp_path / "damaged"
    shutil.copytree(supernet, damaged)
    (damaged / "tokenizer.json").unlink()
    if content is not None:
        (damaged / "tokenizer.json").write_text(content)
    words = ("profile", damaged, "--store", tmp_path / "s.db", *TARGET)
    said = refused(capsys, 2, *words, "--seq-len", "16", "--lengths-of", uneven)
    assert said.startswith("A tokenizer must be")


def test_naming_workloads_needs_no_torch(supernet: Path, uneven: Path) -> None:
    """A machine that only measures has none."""
    code = (
        "import sys\nfrom pathlib import Path\n"
        "from search.cli.workload_options import workloads_of\n"
        f"workloads_of(Path({str(supernet)!r}), (1,), (16,), length=None, "
        f"lengths_of=Path({str(uneven)!r}), text_column=None)\n"
        "print('torch' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert found.stdout.strip() == "False"
