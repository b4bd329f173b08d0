"""Verbs about the machine: describe it, measure networks on it, learn what they cost."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer
from rich.markup import escape

from fleetfit import DeviceInfo, InputError, Measurement, Query, to_json
from fleetfit.files import new_directory
from search.cli.console import mib, ms, percent, progress, result, say, table
from search.cli.options import (
    MAX_SEED,
    AsJson,
    Batch,
    Labels,
    SeqLen,
    StoreUrl,
    SupernetPath,
    Targets,
    Threads,
    head_of,
    open_store,
    targets_of,
    workload_of,
)

if TYPE_CHECKING:
    from predictors import CostMetric, Report
    from profiler import Store

__all__ = ["describe", "learn", "profile"]

_LEARNED: tuple[CostMetric, ...] = ("latency_p50", "latency_p90", "memory")


def describe(json: AsJson = False) -> None:
    """What this machine is: processor, cores, memory, runtimes and the targets they give."""
    from devices import describe as describe_device
    from exporters import all_targets

    device = describe_device()
    targets = [str(t) for t in all_targets(device, threads=device.default_threads)]
    rows = [
        ("processor", f"{device.cpu_model} ({device.machine})"),
        ("usable cores", str(device.cores)),
        ("memory", mib(device.memory_bytes)),
        ("bf16 in hardware", "yes" if device.has_bf16 else "no"),
        ("GPUs", ", ".join(device.gpus) or "none"),
        ("runtimes", ", ".join(f"{k} {v}" for k, v in sorted(device.versions.items())) or "none"),
        ("targets", ", ".join(targets) or "none"),
        ("device class", device.device_class),
    ]
    table(f"Device {device.name}", ("what", "value"), rows)
    facts: dict[str, object] = {"device": to_json(device), "targets": targets}
    result(facts | {"device_class": device.device_class}, as_json=json)


def profile(
    supernet: SupernetPath,
    store: StoreUrl = "fleetfit.db",
    networks: Annotated[int, typer.Option(min=1, help="How many sub-networks to measure.")] = 40,
    memory_every: Annotated[
        int,
        typer.Option(min=0, help="Memory of every k-th network, in a child of its own; 0: none."),
    ] = 4,
    target: Targets = None,
    threads: Threads = None,
    batch: Batch = 1,
    seq_len: SeqLen = 128,
    labels: Labels = 0,
    seed: Annotated[
        int, typer.Option(min=0, max=MAX_SEED, help="Of the choice, the weights and the order.")
    ] = 0,
    json: AsJson = False,
) -> None:
    """Measure sampled sub-networks in every target (survey protocol), and verify the source model.

    Goes on where it stopped and never measures again what the store has. Networks run under
    random weights: cost does not depend on them. The source model is measured once more by the
    verify protocol: relative budgets are shares of that, and it scales what the survey teaches.
    """
    from devices import describe as describe_device
    from profiler import Store, SurveySettings, plan, survey, verified
    from supernet.spaces import read_config

    config = read_config(supernet)
    device = describe_device()
    space = config.space.with_head(head_of(labels, config.pooling))
    chosen = plan(space, networks, np.random.default_rng(seed))
    workload = workload_of(batch, seq_len)
    targets = targets_of(target, device, threads)
    positions = config.source.embedding.max_positions
    if seq_len > positions:
        raise InputError(
            f"--seq-len must be at most {positions} for {supernet}, but got {seq_len}."
        )
    queries = [Query(architecture=a, target=t, workload=workload) for a in chosen for t in targets]
    settings = SurveySettings(seed=seed, memory_every=memory_every)
    opened = Store(store)
    with progress("measuring") as report:
        measured = survey(queries, store=opened, device=device, settings=settings, progress=report)
    sources = [Query(architecture=space.largest(), target=t, workload=workload) for t in targets]
    with progress("verifying the source model") as report:
        source = {
            query.target: verified(query, store=opened, device=device, progress=report)
            for query in sources
        }
    rows = []
    for one in targets:
        mine = [m for m in measured if m.job.query.target == one]
        rows.append(
            (
                str(one),
                str(len(mine)),
                ms(min(m.latency_p50_s for m in mine)),
                ms(source[one].latency_p50_s),
                mib(source[one].memory_bytes),
                percent(float(np.median([m.noise for m in mine]))),
                str(sum(m.status != "ok" for m in mine)),
            )
        )
    columns = (
        "target",
        "networks",
        "fastest p50",
        "source p50",
        "source memory",
        "noise",
        "flagged",
    )
    table(f"Measured, {workload}", columns, rows)
    result({"measurements": len(measured), "store": opened.name}, as_json=json)


def learn(
    out: Annotated[Path, typer.Argument(help="New directory for the predictors.")],
    store: StoreUrl = "fleetfit.db",
    json: AsJson = False,
) -> None:
    """Learn the cost of sub-networks on this machine from its measurements."""
    from devices import describe as describe_device

    rows = _present(open_store(store, create=False), describe_device())
    with new_directory(out) as new, progress("learning") as report:
        reports, left_out = _learn_each(rows, new, report)
    for line in left_out:
        say(escape(line))
    columns = (
        "metric, target",
        "rows",
        "MAPE",
        "linear alone",
        "within 10 %",
        "tau",
        "coverage",
        "noise",
    )
    cells = [
        (
            f"{r.metric}, {r.target}",
            str(r.learned),
            percent(r.errors.mape),
            percent(r.linear.mape),
            percent(r.errors.within_10),
            f"{r.errors.tau:.3f}",
            percent(r.coverage),
            percent(r.noise),
        )
        for r in reports
    ]
    table("Predictors, by cross-validation", columns, cells)
    result({"predictors": str(out), "reports": to_json(tuple(reports))}, as_json=json)


def _learn_each(
    rows: list[Measurement], out: Path, report: Callable[[int, int, str], None]
) -> tuple[list[Report], list[str]]:
    """Reports of the predictors written below ``out``; a line for each that is missing."""
    from predictors import learn as fit

    reports: list[Report] = []
    lines: dict[object, str] = {}
    for done, metric in enumerate(_LEARNED):
        report(done, len(_LEARNED), metric)
        try:
            predictor, found = fit(rows, metric)
        except InputError as exc:
            if metric != "memory":
                raise
            lines["memory"] = f"Memory is not learned (see profile --memory-every): {exc}"
            break
        predictor.save(out / metric)
        reports += found
        lines = {key: f"Left out: {why}" for key, why in predictor.dropped_.items()} | lines
    report(len(_LEARNED), len(_LEARNED), "done")
    return reports, list(lines.values())


def _present(store: Store, device: DeviceInfo) -> list[Measurement]:
    """What was measured on this class of machine by the protocols and runtimes of now."""
    from profiler import is_present

    found = store.measurements(device_class=device.device_class)
    rows = [m for m in found if is_present(m, device)]
    if len(rows) < len(found):
        say(
            f"{len(found) - len(rows)} measurements of other runtime or protocol versions are "
            "left out."
        )
    return rows
