"""Verbs about the machine: describe it, learn what networks cost on it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from fleetfit import DeviceInfo, InputError, Measurement, to_json
from fleetfit.files import new_directory
from search.cli.console import mib, percent, progress, result, say, table
from search.cli.noise import show_floors
from search.cli.options import AsJson, StoreUrl, open_store
from search.cli.outlook import say_outlook

if TYPE_CHECKING:
    from predictors import CostMetric, LearningCurve, Report
    from profiler import Store

__all__ = ["describe", "learn"]

_LEARNED: tuple[CostMetric, ...] = ("latency_p50", "latency_p90", "memory")


def describe(
    health: Annotated[
        bool,
        typer.Option("--health", help="What would disturb a measurement now, and what to do."),
    ] = False,
    json: AsJson = False,
) -> None:
    """What this machine is: processor, cores, memory, runtimes and the targets they give."""
    from devices import describe as describe_device
    from exporters import all_targets

    device = describe_device()
    if health:
        _show_health(device, as_json=json)
        return
    targets = [str(t) for t in all_targets(device, threads=device.default_threads)]
    rows = [
        ("processor", f"{device.cpu_model} ({device.machine})"),
        ("usable cores", str(device.cores)),
        ("memory", mib(device.memory_bytes)),
        ("bf16 in hardware", "yes" if device.has_bf16 else "no"),
        ("GPUs", "; ".join(device.gpus) or "none"),
        ("versions", ", ".join(f"{k} {v}" for k, v in sorted(device.versions.items())) or "none"),
        ("targets", ", ".join(targets) or "none"),
        ("device class", device.device_class),
    ]
    table(f"Device {device.name}", ("what", "value"), rows)
    facts: dict[str, object] = {"device": to_json(device), "targets": targets}
    result(facts | {"device_class": device.device_class}, as_json=json)


def _show_health(device: DeviceInfo, *, as_json: bool) -> None:
    from devices import disturbances

    found = disturbances()
    rows = [(one.what, one.found, one.matters, one.advice) for one in found]
    table(f"Health of {device.name}", ("what", "found", "matters", "what to do"), rows)
    result({"device": device.name, "health": to_json(found)}, as_json=as_json)


def learn(
    out: Annotated[Path, typer.Argument(help="New directory for the predictors.")],
    store: StoreUrl = "fleetfit.db",
    json: AsJson = False,
) -> None:
    """Learn the cost of sub-networks on this machine from its measurements."""
    from devices import describe as describe_device

    opened, device = open_store(store, create=False), describe_device()
    rows = _present(opened, device)
    with new_directory(out) as new, progress("learning") as report:
        reports, curves, left_out = _learn_each(rows, new, report)
    for line in left_out:
        say(escape(line))
    several = len({r.workload for r in reports}) > 1
    columns = (
        "metric, target",
        *(["workload"] if several else []),
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
            *([str(r.workload)] if several else []),
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
    say("Errors of predicted median latency, and what more measurements would buy:")
    say_outlook(curves)
    floors = show_floors(opened, device)
    facts: dict[str, object] = {"predictors": str(out), "reports": to_json(tuple(reports))}
    facts |= {"curves": to_json(curves), "noise_floors": to_json(floors)}
    result(facts, as_json=json)


def _learn_each(
    rows: list[Measurement], out: Path, report: Callable[[int, int, str], None]
) -> tuple[list[Report], tuple[LearningCurve, ...], list[str]]:
    """Reports of the predictors written below ``out``, the learning curves of the median latency,
    and a line for each predictor that is missing.
    """
    from predictors import learn as fit
    from predictors import learning_curves

    reports: list[Report] = []
    curves: tuple[LearningCurve, ...] = ()
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
        if metric == "latency_p50":
            curves = learning_curves(predictor, rows)
        lines = {key: f"Left out: {why}" for key, why in predictor.dropped_.items()} | lines
    report(len(_LEARNED), len(_LEARNED), "done")
    return reports, curves, list(lines.values())


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
