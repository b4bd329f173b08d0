"""The verb ``search``: the best sub-network and target within the budgets, by prediction."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fleetfit import (
    QUANTIZED,
    Architecture,
    Budget,
    DeviceInfo,
    Head,
    InputError,
    Measurement,
    Metric,
    Precision,
    Target,
    Workload,
    to_json,
)
from fleetfit.files import check_new
from search.cached import CachedQuality, Quality
from search.calibrate import calibrate
from search.cli.console import mib, ms, percent, progress, result, say, table
from search.cli.options import (
    AsJson,
    Budgets,
    Labels,
    StoreUrl,
    SupernetPath,
    Threads,
    budgets_of,
    head_of,
    open_store,
    targets_of,
)
from search.cli.turns import polite
from search.cli.workload_options import Batch, Length, LengthsOf, SeqLen, workloads_of
from search.cost import Costs
from search.feasibility import feasibility
from search.problem import Problem, resolve_budgets, source_values
from search.record import Ranked, SearchRecord, write_record
from search.report import PairedGain, paired_gain, result_rows
from search.result import Evaluated, SearchResult
from search.run import search as run_search
from search.settings import SearchSettings
from search.verify import RESERVE

if TYPE_CHECKING:
    from predictors import CostPredictor
    from profiler import Store
    from supernet.checkpoint import Checkpoint
    from supernet.quality import HiddenLoss

__all__ = ["search"]

_SourceValues = dict[Target, dict[Metric, float]]
_LEARNED: tuple[Metric, ...] = ("latency_p50", "latency_p90", "memory")
_KEPT = 40  # candidates that a record keeps for verification, beside the front


def search(
    supernet: SupernetPath,
    out: Annotated[Path, typer.Argument(help="New directory for search.json.")],
    predictors: Annotated[Path, typer.Option(help="Directory that learn wrote.")],
    budget: Budgets,
    text: Annotated[
        Path, typer.Option(help="Unlabelled text for quality: plain, .xz, .gz; or a CSV/TSV.")
    ],
    text_column: Annotated[str, typer.Option(help="Column of every CSV/TSV.")] = "text",
    sentences: Annotated[
        int, typer.Option(min=1, help="Lines of the text to use, spread evenly.")
    ] = 256,
    evaluations: Annotated[int, typer.Option(min=1, help="Candidates to evaluate at most.")] = 200,
    store: StoreUrl = "fleetfit.db",
    target: Annotated[
        list[str] | None,
        typer.Option(
            help="RUNTIME-PRECISION, as profile takes them; repeat it. Default: all that were "
            "learned for this workload, but int8 and int8_dynamic."
        ),
    ] = None,
    threads: Threads = None,
    batch: Batch = 1,
    seq_len: SeqLen = 128,
    length: Length = None,
    lengths_of: LengthsOf = None,
    labels: Labels = 0,
    reserve: Annotated[
        float, typer.Option(min=0, max=0.9, help="Share of a limit on a time to leave free.")
    ] = RESERVE,
    seed: Annotated[int, typer.Option(min=0, help="Equal seeds, equal results.")] = 0,
    json: AsJson = False,
) -> None:
    """Find the best sub-network and target within the budgets, by prediction.

    Quality is the distance of a sub-network's hidden states to the source's on unlabelled text.
    A quality_drop budget is of the task's metric, so export judges it. Exit code 3 where nothing
    can fit; verify then measures what was found. Of a limit on a time some is left free
    (--reserve): between verify and the exported model lies a training, and machines wander.
    """
    from devices import describe
    from supernet import checkpoint

    check_new(out)
    asked = budgets_of(budget)
    device = describe()
    (workload,) = workloads_of(
        supernet,
        (batch,),
        (seq_len,),
        length=length,
        lengths_of=lengths_of,
        text_column=text_column if lengths_of else None,
    )
    costs = _predictors(predictors, device)
    targets = _targets(target, (device, threads, workload), costs, asked)
    loaded = checkpoint.load(supernet)
    # Shares are of the source model as profile verified it: without its store they would mean less.
    opened = open_store(store, create=not any(b.relative for b in asked))
    verified = [m for m in _verified(opened, device) if m.job.query.target in targets]
    anything = Problem(
        space=loaded.config.space.with_head(head_of(labels, loaded.config.pooling)),
        targets=targets,
        budgets=(),
        costs=calibrate(
            _covering(costs, (targets, workload), asked),
            verified,
            workload,
        ),
        workload=workload,
    )
    resolved = _resolved(asked, anything, verified)
    # No search can judge a task's metric before training: export does.
    judged = tuple(b for b in resolved if b.metric != "quality_drop")
    problem = dataclasses.replace(anything, budgets=judged, reserve=reserve)
    lines, others = _lines(text, text_column, sentences)
    loss = _loss(loaded, lines)
    cached = CachedQuality(loss, store=opened, key=f"{loaded.sha256[:16]}-{loss.data_id}")
    settings = SearchSettings(evaluations=evaluations, seed=seed)
    _show_feasibility(problem, settings)
    with polite("search") as pause, progress("searching") as report:
        found = run_search(
            problem,
            _one_by_one(cached, pause),
            settings=settings,
            progress=lambda done, total, best: report(done, total, f"loss {best:.4f}"),
        )
    write_record(out / "search.json", _record(found, problem, (tuple(budget), resolved)))
    _show_found(found, problem)
    with polite("search"), progress("comparing with the best uniform network"):
        gain = _gain(found, loaded, others)
    best = found.winner
    result(
        {
            "network": best.candidate.architecture.summary(),
            "target": str(best.candidate.target),
            "loss": best.loss,
            "predicted_latency_s": best.latency_s,
            "limits": {b.metric: b.limit for b in resolved},
            "search": str(out / "search.json"),
            "gain": gain and to_json(gain),
        },
        as_json=json,
    )


def _one_by_one(cached: Quality, pause: Callable[[], float]) -> Quality:
    """Each network after a measurement that has the machine; one evaluation serves every head."""

    def losses(pairs: Sequence[tuple[Architecture, Precision]]) -> list[float]:
        found: list[float] = []
        for arch, precision in pairs:
            pause()
            found += cached([(arch.with_head(Head()), precision)])
        return found

    return losses


def _verified(store: Store, device: DeviceInfo) -> list[Measurement]:
    """Verifications on this machine as it is now, of random weights."""
    from profiler import is_present

    rows = store.measurements(device_class=device.device_class, protocol="verify")
    rows = [r for r in rows if r.device.name == device.name]
    rows = [r for r in rows if r.status != "unstable" and is_present(r, device)]
    return [r for r in rows if r.job.model_sha256 is None]


def _resolved(
    budgets: Sequence[Budget], problem: Problem, verified: Sequence[Measurement]
) -> tuple[Budget, ...]:
    """Absolute budgets: shares are of the source model as measured, where it was."""
    source = source_values(problem.space, problem.targets, problem.costs, problem.workload)
    measured = _measured_source(verified, problem.space.largest().cost_id, problem.workload)
    for target, values in source.items():
        values |= measured.get(target, {})
    shares = [b.metric for b in budgets if b.relative and b.metric not in ("params", "size")]
    lacking = ", ".join(str(t) for t in source if not set(shares) <= measured.get(t, {}).keys())
    if lacking:
        say(f"Shares are of the source model as predicted, not as measured, in {lacking}.")
    return resolve_budgets(budgets, source)


def _measured_source(
    rows: Sequence[Measurement], largest: str, workload: Workload
) -> _SourceValues:
    """What the source model (of ``cost_id`` ``largest``) measured, by target."""
    source: _SourceValues = {}
    for row in rows:
        query = row.job.query
        if query.workload == workload and query.architecture.cost_id == largest:
            values = source.setdefault(query.target, {})
            values |= {"latency_p50": row.latency_p50_s, "latency_p90": row.latency_p90_s}
            values["throughput"] = row.throughput_per_s
            if row.memory_bytes is not None:
                values["memory"] = float(row.memory_bytes)
    return source


def _record(
    found: SearchResult, problem: Problem, budgets: tuple[tuple[str, ...], tuple[Budget, ...]]
) -> SearchRecord:
    """What verify needs; ``budgets``: as asked, and the same in absolute terms."""
    asked, resolved = budgets
    return SearchRecord(
        budgets=asked,
        resolved=tuple(b.exact for b in resolved),
        reserve=problem.reserve,
        workload=problem.workload,
        ranking=tuple(map(Ranked.of, _kept(found))),
        source=tuple(map(Ranked.of, found.source)),
    )


def _kept(found: SearchResult) -> list[Evaluated]:
    """The best by loss, and the front: something faster must be left after misses."""
    front = set(map(id, found.front))
    return [e for i, e in enumerate(found.ranking) if i < _KEPT or id(e) in front]


def _targets(
    names: list[str] | None,
    options: tuple[DeviceInfo, int | None, Workload],
    costs: dict[Metric, CostPredictor],
    budgets: Sequence[Budget],
) -> tuple[Target, ...]:
    """Those named, else those learned for every budget, but int8, which is chosen by name.

    Where none is left those of the machine, to be refused with what is not learned.
    """
    device, threads, workload = options
    if names:
        return targets_of(names, device, threads)
    needed = {"latency_p50", *(b.metric for b in budgets)} & costs.keys()
    known = {m: {r.target for r in costs[m].reports if r.workload == workload} for m in needed}
    found = [r.target for r in costs["latency_p50"].reports if r.workload == workload]
    fitting = [t for t in found if threads in (None, t.threads)]
    kept = [t for t in fitting if t.precision not in QUANTIZED] or fitting
    kept = [t for t in kept if all(t in targets for targets in known.values())] or kept
    for target in fitting:
        if target not in kept:
            say(f"{target} is left out: only --target takes it along.")
    return tuple(kept) or targets_of(None, device, threads)


def _covering(
    costs: dict[Metric, CostPredictor],
    asked: tuple[tuple[Target, ...], Workload],
    budgets: Sequence[Budget],
) -> Costs:
    """Without metrics that no budget names and that were not learned for every target asked."""
    targets, workload = asked
    needed = {"latency_p50", *(b.metric for b in budgets)}
    kept: dict[Metric, CostPredictor] = {}
    for metric, cost in costs.items():
        known = {(r.target, r.workload) for r in cost.reports}
        lacking = [t for t in targets if (t, workload) not in known]
        if lacking and metric not in needed:
            say(f"{metric} is not predicted: it was not learned for {lacking[0]}, {workload}.")
        else:
            kept[metric] = cost
    return kept


def _predictors(path: Path, device: DeviceInfo) -> dict[Metric, CostPredictor]:
    """The predictors of a directory; refused where they belong to another device or version."""
    from predictors import CostPredictor

    costs: dict[Metric, CostPredictor] = {}
    for metric in _LEARNED:
        if (path / metric).is_dir():
            costs[metric] = CostPredictor.load(path / metric)
    if "latency_p50" not in costs:
        raise InputError(f"{path} must be a directory that learn wrote, but is not; learn first.")
    changes = {change for cost in costs.values() for change in cost.stale(device)}
    if changes:
        raise InputError(
            f"Predictors must be of this machine as it is, but changed: "
            f"{'; '.join(sorted(changes))}; profile and learn again."
        )
    return costs


def _lines(text: Path, column: str, count: int) -> tuple[list[str], list[str]]:
    """Lines of a text or of a table's column: ``count`` to choose on, others to report on."""
    from supernet.columns import read_texts

    lines = list(dict.fromkeys(read_texts(text, column)))
    step = max(1, math.ceil(len(lines) / count))
    return lines[::step], lines[step // 2 :: step] if step > 1 else []


def _loss(loaded: Checkpoint, lines: list[str]) -> HiddenLoss:
    from supernet import quality
    from supernet.checkpoint import load_tokenizer

    tokenizer = load_tokenizer(loaded.tokenizer_path)
    length = min(128, loaded.config.source.embedding.max_positions)
    batches = quality.sentences(lines, tokenizer, max_length=length)
    return quality.HiddenLoss(loaded.supernet, batches)


def _gain(found: SearchResult, loaded: Checkpoint, lines: list[str]) -> PairedGain | None:
    """The winner's gain over the best uniform network on lines it was not chosen on, told too."""
    rival = found.best_uniform
    if rival is found.winner:
        say("The winner is the best uniform network.")
    if rival in (None, found.winner) or len(lines) < 2:
        return None
    loss = _loss(loaded, lines)
    ours, theirs = (
        loss.per_sequence(c.architecture.with_head(Head()), c.target.precision)
        for c in (found.winner.candidate, rival.candidate)
    )
    gain = paired_gain(ours.tolist(), theirs.tolist())
    say(
        f"On {len(lines)} other lines of the text the winner's loss is {abs(gain.gain):.4f} ± "
        f"{gain.se:.4f} {'below' if gain.gain >= 0 else 'above'} the best uniform network's."
    )
    return gain


def _show_feasibility(problem: Problem, settings: SearchSettings) -> None:
    rows = feasibility(problem, samples=settings.samples, seed=settings.seed)
    cells = [
        (
            str(row.target),
            str(row.budget),
            row.budget.shown(row.smallest),
            row.budget.shown(row.largest),
            percent(row.share),
            percent(row.share_all),
        )
        for row in rows
    ]
    columns = ("target", "budget", "smallest", "source", "feasible", "all budgets")
    title = (
        f"Can the budgets be kept? Predicted, {problem.workload}, {problem.reserve:.0%} in reserve"
    )
    table(title, columns, cells)


def _show_found(found: SearchResult, problem: Problem) -> None:
    lines = [
        (
            role,
            row.candidate.architecture.summary(),
            str(row.candidate.target),
            f"{row.loss:.4f}",
            ms(row.costs["latency_p50"].mean),
            ms(row.costs["latency_p50"].upper),
            mib(row.costs["memory"].mean if "memory" in row.costs else None),
            "yes" if row.feasible else "no",
        )
        for role, row in result_rows(found, front=6)
    ]
    heads = ("what", "network", "target", "loss", "p50", "upper", "memory", "fits")
    table(f"Found, predicted (upper: of the 90 % interval), {problem.workload}", heads, lines)
