"""The verb ``verify``: measure whether the budgets are kept."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from fleetfit import (
    Budget,
    InfeasibleError,
    InputError,
    Measurement,
    Query,
    Workload,
    dumps,
)
from fleetfit.files import write_text
from search.candidate import Candidate
from search.cli.console import mib, ms, progress, result, table
from search.cli.options import AsJson, StoreUrl
from search.record import Ranked, SearchRecord, VerifiedRecord, read_record, write_record
from search.verify import Measured, measured_value, verify_candidates

__all__ = ["verify"]


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


def _verify_search(path: Path, store_url: str) -> dict[str, object]:
    from devices import describe
    from profiler import Store
    from profiler import verify as measure

    if not (path / "search.json").is_file():
        raise InputError(
            f"{path} must be a directory that search or export wrote, but is not; search first."
        )
    record = read_record(path / "search.json")
    if not isinstance(record, SearchRecord):
        raise InputError(f"{path / 'search.json'} must be written by search, but is not.")
    budgets = record.absolute_budgets
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
    write_text(path / "winner.json", dumps(chosen.architecture) + "\n")
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

    manifest = load_bundle(path).manifest
    query = Query(
        architecture=manifest.architecture, target=manifest.target, workload=manifest.workload
    )
    with progress("verifying") as report:
        found = measure(query, device=describe(), model_path=path / "model.onnx", progress=report)
    candidate = Candidate(architecture=manifest.architecture, target=manifest.target)
    budgets = [b for b in map(Budget.parse, manifest.budgets) if b.metric != "quality_drop"]
    values = [measured_value(candidate, found, b) for b in budgets]
    rows = [
        (str(b), b.shown(v), "kept" if b.excess(v) <= 0 else "missed")
        for b, v in zip(budgets, values, strict=True)
    ]
    table(f"{path} in {manifest.target}, {manifest.workload}", ("budget", "measured", ""), rows)
    missed = [(b, v) for b, v in zip(budgets, values, strict=True) if b.excess(v) > 0]
    if missed:
        budget, value = missed[0]
        raise InfeasibleError(
            f"The bundle must keep {budget}, but measured {budget.shown(value)} on this "
            "machine; search again here, or raise the limit."
        )
    return {
        "measured_latency_s": found.latency_p50_s,
        "measured_upper_s": found.interval_s()[1],
        "measured_memory_bytes": found.memory_bytes,
        "status": found.status,
    }
