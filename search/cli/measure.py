"""Verbs about the machine: describe it, measure networks on it, learn what they cost."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer
from rich.markup import escape

from fleetfit import DeviceInfo, InputError, Job, Measurement, Query, to_json
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

    device = describe_device()
    targets = [str(t) for t in targets_of(None, device, None)]
    rows = [
        ("processor", f"{device.cpu_model} ({device.machine})"),
        ("usable cores", str(device.cores)),
        ("memory", mib(device.memory_bytes)),
        ("bf16 in hardware", "yes" if device.has_bf16 else "no"),
        ("GPUs", ", ".join(device.gpus) or "none"),
        ("runtimes", ", ".join(f"{k} {v}" for k, v in sorted(device.versions.items()))),
        ("targets", ", ".join(targets)),
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
    from profiler import Store, SurveySettings, plan, survey
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
        verified = {query.target: _verified(query, opened, device, report) for query in sources}
    rows = []
    for one in targets:
        mine = [m for m in measured if m.job.query.target == one]
        rows.append(
            (
                str(one),
                str(len(mine)),
                ms(min(m.latency_p50_s for m in mine)),
                ms(verified[one].latency_p50_s),
                mib(verified[one].memory_bytes),
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
    result({"measurements": len(measured), "store": store}, as_json=json)


def _verified(
    query: Query, store: Store, device: DeviceInfo, report: Callable[[int, int, str], None]
) -> Measurement:
    """The verification of ``query``, from the store where it was made before."""
    from profiler import VerifySettings, verify

    settings = VerifySettings()
    version = settings.protocol.version
    job = Job(query=query, protocol="verify", protocol_version=version, seed=settings.seed)
    known = store.get(job, device.name)
    if known is not None and known.versions.items() <= device.versions.items():
        return known
    found = verify(query, device=device, settings=settings, progress=report)
    store.put(found)
    return found


def learn(
    out: Annotated[Path, typer.Argument(help="New directory for the predictors.")],
    store: StoreUrl = "fleetfit.db",
    json: AsJson = False,
) -> None:
    """Learn the cost of sub-networks on this machine from its measurements."""
    from devices import describe as describe_device
    from profiler import Store

    rows = _current(Store(store), describe_device())
    with new_directory(out) as new, progress("learning") as report:
        reports, lacking = _learn_each(rows, new, report)
    if lacking is not None:
        say(f"Memory is not learned (see profile --memory-every): {escape(lacking)}")
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
) -> tuple[list[Report], str | None]:
    """Reports of the predictors written below ``out``; why memory is not among them, if so."""
    from predictors import learn as fit

    reports: list[Report] = []
    for done, metric in enumerate(_LEARNED):
        report(done, len(_LEARNED), metric)
        try:
            predictor, found = fit(rows, metric)
        except InputError as exc:
            if metric != "memory":
                raise
            return reports, str(exc)
        predictor.save(out / metric)
        reports += found
    report(len(_LEARNED), len(_LEARNED), "done")
    return reports, None


def _current(store: Store, device: DeviceInfo) -> list[Measurement]:
    """What was measured on this class of machine, under the runtime versions it has now."""
    found = store.measurements(device_class=device.device_class)

    def holds(one: Measurement) -> bool:
        name = one.job.query.target.runtime
        return one.versions.get(name, "") == device.versions.get(name, "")

    rows = [m for m in found if holds(m)]
    if len(rows) < len(found):
        say(f"{len(found) - len(rows)} measurements of other runtime versions are left out.")
    return rows
