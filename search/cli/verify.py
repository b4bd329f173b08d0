"""The verb ``verify``: measure whether the budgets are kept."""

from __future__ import annotations

import tempfile
from collections.abc import Set
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fleetfit import (
    Budget,
    InfeasibleError,
    InputError,
    Measurement,
    dumps,
)
from fleetfit.files import write_text
from search.candidate import Candidate
from search.cli.console import mib, ms, progress, result, shown_status, table
from search.cli.options import AsJson, StoreUrl, open_store
from search.corrections import verify_ranked
from search.record import (
    Ranked,
    SearchRecord,
    TriedRecord,
    VerifiedRecord,
    read_record,
    write_record,
)
from search.verify import Verified, measured_value, shown_value

if TYPE_CHECKING:
    from exporters import Manifest

__all__ = ["verify"]


def verify(
    what: Annotated[Path, typer.Argument(help="A directory that search wrote, or a bundle.")],
    store: StoreUrl = "fleetfit.db",
    next_one: Annotated[
        bool, typer.Option("--next", help="Go on after the candidates measured before.")
    ] = False,
    json: AsJson = False,
) -> None:
    """Measure on this machine whether the budgets are kept (verify protocol, about 20 s each).

    After a search: its candidates, best first, at most five; the first that keeps every budget
    (times with the search's reserve) goes to verified.json and winner.json. A bundle: the exported
    model itself. Every measurement joins the store, and learn uses it. Exit code 3 where a budget
    is missed.
    """
    if (what / "manifest.json").exists():
        summary = _verify_bundle(what, store)
    else:
        summary = _verify_search(what, store, next_one=next_one)
    result(summary, as_json=json)


def _verify_search(path: Path, store_url: str, *, next_one: bool) -> dict[str, object]:
    from devices import describe
    from profiler import keep_better
    from profiler import verify as measure

    if not (path / "search.json").is_file():
        raise InputError(
            f"{path} must be a directory that search or export wrote, but is not; search first."
        )
    record = read_record(path / "search.json", SearchRecord)
    device, store = describe(), open_store(store_url)
    tried = TriedRecord(measurements=())
    if next_one:
        tried = read_record(path / "tried.json", TriedRecord)
    made = list(tried.measurements)
    with progress("verifying") as report:

        def measured(candidate: Candidate) -> Measurement:
            query = candidate.query(record.workload)
            found = measure(query, device=device, store=store, progress=report)
            keep_better(store, found)
            made.append(found)
            write_record(path / "tried.json", TriedRecord(measurements=tuple(made)))
            return found

        passed = verify_ranked(_left(record, tried.candidates), measured, record.strict_budgets)
    known = {r.candidate: r for r in record.ranking}
    chosen, found = known[passed.winner.candidate], passed.winner.measurement
    _show_verified(passed, known, record)
    verified = VerifiedRecord(
        architecture=chosen.architecture,
        target=chosen.target,
        workload=record.workload,
        budgets=record.resolved,
        predicted=chosen.costs,
        measurement=found,
        misses=tuple(m.measurement for m in passed.misses),
    )
    write_record(path / "verified.json", verified)
    write_text(path / "winner.json", dumps(chosen.architecture) + "\n")
    return {
        "network": chosen.architecture.summary(),
        "target": str(chosen.target),
        "predicted_latency_s": chosen.costs["latency_p50"].mean,
        **_measured(found),
        "limits": {b.metric: b.limit for b in record.absolute_budgets},
        "reserve": record.reserve,
        "tries": len(passed.misses) + 1,
    }


def _left(record: SearchRecord, tried: Set[Candidate]) -> tuple[Ranked, ...]:
    """The ranking without what was measured before."""
    left = tuple(r for r in record.ranking if r.candidate not in tried)
    if not left:
        raise InfeasibleError(
            "A candidate must be left after those measured before, but none is; search again with "
            "a higher limit."
        )
    return left


def _show_verified(passed: Verified, known: dict[Candidate, Ranked], record: SearchRecord) -> None:
    rows: list[tuple[str, ...]] = []
    for name, one in [*(("missed", m) for m in passed.misses), ("passed", passed.winner)]:
        found = one.measurement
        rows.append(
            (
                name,
                one.candidate.architecture.summary(),
                str(one.candidate.target),
                ms(known[one.candidate].costs["latency_p50"].mean),
                ms(found.latency_p50_s),
                ms(found.interval_s()[1]),
                ms(found.latency_p90_s),
                _rate(found),
                mib(found.memory_bytes),
                shown_status(found),
            )
        )
    for source in record.source:
        predicted = ms(source.costs["latency_p50"].mean)
        name, target = source.architecture.summary(), str(source.target)
        rows.append(("source", name, target, predicted, "-", "-", "-", "-", "-", "-"))
    columns = (
        "",
        "network",
        "target",
        "predicted",
        "p50",
        "95 % upper",
        "p90",
        "a second",
        "memory",
        "status",
    )
    limits = ", ".join(map(str, record.strict_budgets))
    title = f"Measured in fresh processes, {record.workload}, {limits}"
    table(f"{title}, times less {record.reserve:.0%} in reserve", columns, rows)


def _verify_bundle(path: Path, store_url: str) -> dict[str, object]:
    from devices import describe
    from exporters import load_bundle
    from profiler import ModelFile, keep_better
    from profiler import verify as measure

    manifest = load_bundle(path).manifest
    candidate = Candidate(architecture=manifest.architecture, target=manifest.target)
    query = candidate.query(manifest.workload)
    with (
        open_store(store_url) as store,
        progress("verifying") as report,
        tempfile.TemporaryDirectory() as scratch,
    ):
        plain = _plain(path, manifest, Path(scratch))
        file = ModelFile(query=query, path=path / manifest.model, plain=plain)
        found = measure(file, device=describe(), store=store, progress=report)
        keep_better(store, found)
    budgets = [b for b in map(Budget.parse, manifest.budgets) if b.metric != "quality_drop"]
    values = [measured_value(candidate, found, b) for b in budgets]
    rows = [
        (str(b), b.shown(v), "kept" if b.excess(v) <= 0 else "missed")
        for b, v in zip(budgets, values, strict=True)
    ]
    rows += [
        ("p50", ms(found.latency_p50_s), ""),
        ("p50, 95 % upper", ms(found.interval_s()[1]), ""),
        ("p90", ms(found.latency_p90_s), ""),
        ("throughput", _rate(found), ""),
        ("memory", mib(found.memory_bytes), ""),
        ("status", shown_status(found), ""),
    ]
    table(f"{path} in {manifest.target}, {manifest.workload}", ("budget", "measured", ""), rows)
    missed = [(b, v) for b, v in zip(budgets, values, strict=True) if b.excess(v) > 0]
    if missed:
        budget, value = missed[0]
        raise InfeasibleError(
            f"The bundle must keep {budget}, but measured {shown_value(budget, value)} on "
            "this machine; search again here, or raise the limit."
        )
    return _measured(found)


def _plain(bundle: Path, manifest: Manifest, scratch: Path) -> Path | None:
    """The emitted fp32 file of a bundle that holds another; its weights are there."""
    from exporters import emit, read_weights, runtime_of, write_plain

    target, workload = manifest.target, manifest.workload
    if runtime_of(target).takes_onnx(target):
        return None
    fixed = workload if target.shapes == "fixed" else None
    model = emit(manifest.architecture, read_weights(bundle), workload=fixed)
    return write_plain(model, target, workload, scratch)


def _measured(found: Measurement) -> dict[str, object]:
    """What a program wants to know of it."""
    return {
        "measured_latency_s": found.latency_p50_s,
        "measured_upper_s": found.interval_s()[1],
        "measured_calm_s": found.calm_p50_s,
        "measured_p90_s": found.latency_p90_s,
        "measured_p90_bound_s": found.bound_s(0.9),
        "measured_throughput_per_s": found.throughput_per_s,
        "measured_memory_bytes": found.memory_bytes,
        "status": found.status,
        "flags": list(found.flags),
        "outliers": list(found.outliers),
    }


def _rate(found: Measurement) -> str:
    return f"{found.throughput_per_s:.0f}/s"
