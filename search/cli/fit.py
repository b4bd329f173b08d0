"""Verbs about the fit: search, verify on the machine, export a bundle, run it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fleetfit import (
    Budget,
    DeviceInfo,
    InfeasibleError,
    InputError,
    Measurement,
    Query,
    Workload,
    to_json,
)
from fleetfit.files import write_text
from search.candidate import Candidate
from search.cli.console import mib, ms, percent, progress, result, say, table
from search.cli.options import (
    AsJson,
    Batch,
    Budgets,
    Labels,
    SeqLen,
    StoreUrl,
    SupernetPath,
    Targets,
    Threads,
    budgets_of,
    head_of,
    targets_of,
    workload_of,
)
from search.cost import Costs
from search.record import (
    Ranked,
    SearchRecord,
    VerifiedRecord,
    read_record,
    write_record,
)
from search.report import result_rows
from search.verify import Measured, measured_value, verify_candidates

if TYPE_CHECKING:
    from exporters import LoadedBundle
    from search.problem import Problem
    from search.result import SearchResult
    from supernet.checkpoint import Checkpoint
    from supernet.quality import HiddenLoss

__all__ = ["export", "run", "search", "verify"]

_KEPT = 40  # candidates that a record keeps for verification


def search(
    supernet: SupernetPath,
    out: Annotated[Path, typer.Argument(help="Directory for search.json and winner.json.")],
    predictors: Annotated[Path, typer.Option(help="Directory that learn wrote.")],
    budget: Budgets,
    text: Annotated[
        Path, typer.Option(help="Unlabelled text for quality: plain, .xz, .gz; or a CSV/TSV.")
    ],
    text_column: Annotated[str, typer.Option(help="Column of a CSV/TSV.")] = "text",
    sentences: Annotated[int, typer.Option(help="Lines of the text to use, spread evenly.")] = 256,
    evaluations: Annotated[int, typer.Option(help="Candidates to evaluate at most.")] = 200,
    store: StoreUrl = "fleetfit.db",
    target: Targets = None,
    threads: Threads = None,
    batch: Batch = 1,
    seq_len: SeqLen = 128,
    labels: Labels = 0,
    seed: Annotated[int, typer.Option(help="Equal seeds, equal results.")] = 0,
    json: AsJson = False,
) -> None:
    """Find the best sub-network and target within the budgets, by prediction.

    Quality is the distance of a sub-network's sentence vectors to the source's on unlabelled
    text. Exit code 3 where nothing can fit; verify then measures what was found.
    """
    from devices import describe
    from profiler import Store
    from search.cached import CachedQuality
    from search.problem import Problem, resolve_budgets, source_values
    from search.run import search as run_search
    from search.settings import SearchSettings
    from supernet import checkpoint

    asked = budgets_of(budget)
    device = describe()
    targets = targets_of(target, device, threads)
    costs = _predictors(predictors, device)
    loaded = checkpoint.load(supernet)
    space = loaded.config.space.with_head(head_of(labels, loaded.config.pooling))
    workload = workload_of(batch, seq_len)
    resolved = resolve_budgets(asked, source_values(space, targets, costs, workload))
    problem = Problem(
        space=space, targets=targets, budgets=resolved, costs=costs, workload=workload
    )
    loss = _quality(loaded, text, text_column, sentences)
    cached = CachedQuality(
        lambda pairs: loss([(a.with_head(loaded.supernet.space.source.head), p) for a, p in pairs]),
        store=Store(store),
        key=f"{loaded.sha256[:16]}-{loss.data_id}",
    )
    settings = SearchSettings(evaluations=evaluations, seed=seed)
    with progress("searching") as report:
        found = run_search(
            problem,
            cached,
            settings=settings,
            progress=lambda done, total, best: report(done, total, f"loss {best:.4f}"),
        )
    _show(found, problem)
    record = SearchRecord(
        budgets=tuple(budget),
        resolved=tuple(map(str, resolved)),
        limits=tuple(b.limit for b in resolved),
        workload=workload,
        ranking=tuple(_ranked(e) for e in found.ranking[:_KEPT]),
        source=tuple(_ranked(e) for e in found.source),
    )
    write_record(out / "search.json", record)
    best = found.winner
    write_text(out / "winner.json", _architecture_json(best.candidate))
    summary: dict[str, object] = {
        "network": best.candidate.architecture.summary(),
        "target": str(best.candidate.target),
        "loss": best.loss,
        "predicted_latency_s": best.latency_s,
        "budgets": [str(b) for b in resolved],
        "search": str(out / "search.json"),
    }
    result(summary, as_json=json)


def verify(
    what: Annotated[Path, typer.Argument(help="A directory that search wrote, or a bundle.")],
    store: StoreUrl = "fleetfit.db",
    json: AsJson = False,
) -> None:
    """Measure on this machine whether the budgets are kept (verify protocol, about 20 s each).

    After a search: its candidates, best first, at most five; the first that keeps every budget
    goes to verified.json and winner.json. A bundle: the exported model itself. Exit code 3 where
    a budget is missed.
    """
    if (what / "manifest.json").exists():
        summary = _verify_bundle(what)
    else:
        summary = _verify_search(what, store)
    result(summary, as_json=json)


def export(
    model: Annotated[Path, typer.Argument(help="Directory that finetune wrote.")],
    out: Annotated[Path, typer.Argument(help="New directory for the bundle.")],
    verified: Annotated[
        Path | None, typer.Option(help="verified.json: target, budgets and predictions.")
    ] = None,
    target: Annotated[
        str | None, typer.Option(help="RUNTIME-PRECISION, where there is no verified.json.")
    ] = None,
    threads: Threads = None,
    budget: Annotated[
        list[str] | None, typer.Option(help="Where there is no verified.json.")
    ] = None,
    batch: Batch = 1,
    seq_len: SeqLen = 128,
    test: Annotated[
        Path | None, typer.Option(help="Labelled file: the exported model is scored on it.")
    ] = None,
    text_column: Annotated[str, typer.Option(help="Of the labelled file.")] = "text",
    label_column: Annotated[str, typer.Option(help="Of the labelled file.")] = "label",
    source_accuracy: Annotated[
        float | None, typer.Option(help="The source model's, fine-tuned equally, for the manifest.")
    ] = None,
    json: AsJson = False,
) -> None:
    """Emit ONNX, check it against PyTorch, measure it here, and write a bundle.

    Exit code 3, and no bundle, where the exported model misses a budget when measured.
    """
    from devices import describe
    from search.bundling import Order, make_bundle

    device = describe()
    if verified is not None:
        record = read_record(verified)
        if not isinstance(record, VerifiedRecord):
            raise InputError(
                f"{verified} must be written by verify, but is of search: verify first."
            )
        order = Order.of(record)
    else:
        chosen = targets_of([target] if target else None, device, threads)
        order = Order(
            target=chosen[0],
            workload=workload_of(batch, seq_len),
            budgets=_absolute(budgets_of(budget or [])),
        )
    order = dataclasses.replace(
        order, test=test, columns=(text_column, label_column), source_accuracy=source_accuracy
    )
    with progress("exporting") as report:
        made = make_bundle(model, out, order=order, device=device, progress=report)
    columns = ("bundle", "target", "p50", "95 % upper", "memory", "parity", "accuracy")
    row = (
        str(out),
        str(order.target),
        ms(made.measured.latency_p50_s),
        ms(made.measured.upper_latency_p50_s),
        mib(made.measured.memory_bytes),
        f"{made.parity.max_abs_diff:.1e}",
        percent(made.metric.value if made.metric else None),
    )
    table(f"Exported and measured, {order.workload}", columns, [row])
    summary: dict[str, object] = {"bundle": str(out), "measured": to_json(made.measured)}
    accuracy = made.metric.value if made.metric else None
    result(summary | {"test_accuracy": accuracy}, as_json=json)


def run(
    bundle: Annotated[Path, typer.Argument(help="Directory that export wrote.")],
    text: Annotated[list[str], typer.Argument(help="One or more texts.")],
    top: Annotated[int, typer.Option(help="Labels to show per text.")] = 3,
    json: AsJson = False,
) -> None:
    """Load a bundle and run it on texts."""
    from exporters import load_bundle

    loaded = load_bundle(bundle)
    if loaded.manifest.architecture.head.kind != "classification":
        raise InputError("run must be given a bundle with a classification head; use load_bundle.")
    answers = [dict(list(answer.items())[:top]) for answer in loaded.predict(text)]
    for one, answer in zip(text, answers, strict=True):
        shown = ", ".join(f"{label} {share:.1%}" for label, share in answer.items())
        say(f"{one!r} -> {shown}")
    result({"answers": answers}, as_json=json)


def _predictors(path: Path, device: DeviceInfo) -> Costs:
    """The predictors of a directory; refused where they belong to another device or version."""
    from predictors import CostPredictor

    if not (path / "latency_p50").is_dir():
        raise InputError(
            f"{path} must be a directory that learn wrote, but it is not; learn first."
        )
    costs = {p.name: CostPredictor.load(p) for p in sorted(path.iterdir()) if p.is_dir()}
    for predictor in costs.values():
        changed = predictor.stale(device)
        if changed:
            raise InputError(
                f"Predictors must be of this machine as it is, but {'; '.join(changed)}: profile "
                "and learn again."
            )
    return costs  # type: ignore[return-value]


def _quality(loaded: Checkpoint, text: Path, column: str, count: int) -> HiddenLoss:
    from supernet import quality
    from supernet.checkpoint import load_tokenizer
    from supernet.tasks import read_column
    from supernet.text import read_lines

    table_like = text.suffix.lower() in (".csv", ".tsv")
    lines = read_column(text, column) if table_like else list(read_lines(text))
    if not lines:
        raise InputError(f"{text} must hold text, but it is empty.")
    step = max(1, math.ceil(len(lines) / count))
    tokenizer = load_tokenizer(loaded.tokenizer_path)
    length = min(128, loaded.config.source.embedding.max_positions)
    batches = quality.sentences(lines[::step], tokenizer, max_length=length)
    return quality.HiddenLoss(loaded.supernet, batches, of="pooled")


def _show(found: SearchResult, problem: Problem) -> None:
    rows = [
        (
            str(f.target),
            str(f.budget),
            *(_of(f.budget, v) for v in (f.smallest, f.largest)),
            percent(f.share),
            percent(f.share_all),
        )
        for f in found.feasibility
    ]
    columns = ("target", "budget", "smallest", "source", "feasible", "all budgets")
    table(f"Can the budgets be kept? Predicted, {problem.workload}", columns, rows)
    names = {"winner": "winner", "uniform": "best uniform", "front": "front", "source": "source"}
    lines = [
        (
            names[row.role],
            row.candidate.architecture.summary(),
            str(row.candidate.target),
            f"{row.loss:.4f}",
            ms(row.costs["latency_p50"].mean),
            ms(row.costs["latency_p50"].upper),
            mib(row.costs["memory"].mean if "memory" in row.costs else None),
            "yes" if row.feasible else "no",
        )
        for row in result_rows(found, front=6)
    ]
    heads = ("what", "network", "target", "loss", "p50", "90 % upper", "memory", "fits")
    table(f"Found, predicted, {problem.workload}", heads, lines)


def _of(budget: Budget, value: float) -> str:
    """A value in the unit that its budget prints."""
    shown = str(Budget(metric=budget.metric, relation=budget.relation, limit=value))
    return shown.split(budget.relation)[1]


def _ranked(found: object) -> Ranked:
    from search.result import Evaluated

    assert isinstance(found, Evaluated)
    return Ranked(
        architecture=found.candidate.architecture,
        target=found.candidate.target,
        loss=found.loss,
        costs={str(k): v for k, v in found.costs.items()},
    )


def _architecture_json(candidate: Candidate) -> str:
    from fleetfit import dumps

    return dumps(candidate.architecture) + "\n"


def _absolute(budgets: Sequence[Budget]) -> tuple[Budget, ...]:
    relative = [str(b) for b in budgets if b.relative]
    if relative:
        raise InputError(f"Budgets of export must be absolute, but got {relative[0]}.")
    return tuple(budgets)


def _limits(record: SearchRecord | VerifiedRecord, texts: Sequence[str]) -> tuple[Budget, ...]:
    """The budgets of a record with their unrounded limits."""
    pairs = zip(texts, record.limits, strict=True)
    return tuple(dataclasses.replace(Budget.parse(t), limit=limit) for t, limit in pairs)


def _verify_search(path: Path, store_url: str) -> dict[str, object]:
    from devices import describe
    from profiler import Store
    from profiler import verify as measure

    record = read_record(path / "search.json")
    if not isinstance(record, SearchRecord):
        raise InputError(f"{path / 'search.json'} must be written by search, but is not.")
    budgets = _limits(record, record.resolved)
    device, store = describe(), Store(store_url)
    ranked = {Candidate(architecture=r.architecture, target=r.target): r for r in record.ranking}
    misses: list[Measurement] = []
    with progress("verifying") as report:

        def measured(candidate: Candidate) -> Measurement:
            query = _query(candidate, record.workload)
            found = measure(query, device=device, progress=report)
            store.put(found)
            return found

        def learned(candidate: Candidate, found: Measurement) -> list[Candidate]:
            misses.append(found)
            return _corrected(ranked, candidate, found, budgets)

        passed = verify_candidates(list(ranked), measured, budgets, learned=learned)
    chosen = ranked[passed.winner.candidate]
    _show_verified(passed.winner, [m.measurement for m in passed.misses], chosen, record)
    verified = VerifiedRecord(
        architecture=chosen.architecture,
        target=chosen.target,
        workload=record.workload,
        budgets=record.resolved,
        limits=record.limits,
        predicted=chosen.costs,
        measurement=passed.winner.measurement,
        misses=tuple(m.measurement for m in passed.misses),
    )
    write_record(path / "verified.json", verified)
    write_text(path / "winner.json", _architecture_json(passed.winner.candidate))
    return {
        "network": chosen.architecture.summary(),
        "target": str(chosen.target),
        "predicted_latency_s": chosen.costs["latency_p50"].mean,
        "measured_latency_s": passed.winner.measurement.latency_p50_s,
        "measured_upper_s": passed.winner.measurement.interval_s()[1],
        "measured_memory_bytes": passed.winner.measurement.memory_bytes,
        "budgets": list(record.resolved),
        "limits": list(record.limits),
        "tries": len(passed.misses) + 1,
    }


def _query(candidate: Candidate, workload: Workload) -> Query:
    return Query(architecture=candidate.architecture, target=candidate.target, workload=workload)


def _corrected(
    ranked: dict[Candidate, Ranked],
    missed: Candidate,
    found: Measurement,
    budgets: Sequence[Budget],
) -> list[Candidate]:
    """The ranking without those that would miss too, were they as far off as this one.

    What was measured over what was predicted corrects every prediction in that target, upwards
    only. Where that leaves none, the fastest come first.
    """
    predicted = ranked[missed].costs["latency_p50"].mean
    ratio = max(1.0, found.interval_s()[1] / predicted)
    limits = [b.limit for b in budgets if b.metric == "latency_p50"]
    limit = min(limits, default=math.inf)

    def latency(candidate: Candidate) -> float:
        factor = ratio if candidate.target == missed.target else 1.0
        return ranked[candidate].costs["latency_p50"].mean * factor

    kept = [c for c in ranked if latency(c) <= limit]
    return kept or sorted(ranked, key=latency)


def _show_verified(
    winner: Measured, misses: Sequence[Measurement], chosen: Ranked, record: SearchRecord
) -> None:
    rows = [
        (
            name,
            m.job.query.architecture.summary(),
            str(m.job.query.target),
            ms(chosen.costs["latency_p50"].mean) if name == "passed" else "",
            ms(m.latency_p50_s),
            ms(m.interval_s()[1]),
            mib(m.memory_bytes),
            m.status,
        )
        for name, m in [*(("missed", m) for m in misses), ("passed", winner.measurement)]
    ]
    columns = ("", "network", "target", "predicted", "p50", "95 % upper", "memory", "status")
    title = f"Measured in three fresh processes, {record.workload}, {', '.join(record.resolved)}"
    table(title, columns, rows)


def _verify_bundle(path: Path) -> dict[str, object]:
    from devices import describe
    from exporters import load_bundle
    from profiler import verify as measure

    loaded: LoadedBundle = load_bundle(path)
    manifest = loaded.manifest
    del loaded
    query = Query(
        architecture=manifest.architecture, target=manifest.target, workload=manifest.workload
    )
    with progress("verifying") as report:
        found = measure(query, device=describe(), model_path=path / "model.onnx", progress=report)
    candidate = Candidate(architecture=manifest.architecture, target=manifest.target)
    budgets = [b for b in map(Budget.parse, manifest.budgets) if b.metric != "quality_drop"]
    values = [measured_value(candidate, found, b) for b in budgets]
    rows = [
        (str(b), _of(b, v), "kept" if b.excess(v) <= 0 else "missed")
        for b, v in zip(budgets, values, strict=True)
    ]
    table(f"{path} in {manifest.target}, {manifest.workload}", ("budget", "measured", ""), rows)
    missed = [(b, v) for b, v in zip(budgets, values, strict=True) if b.excess(v) > 0]
    if missed:
        budget, value = missed[0]
        raise InfeasibleError(
            f"The bundle must keep {budget}, but measured {_of(budget, value)} on this machine; "
            "search again here, or raise the limit."
        )
    return {
        "measured_latency_s": found.latency_p50_s,
        "measured_upper_s": found.interval_s()[1],
        "measured_memory_bytes": found.memory_bytes,
        "status": found.status,
    }
