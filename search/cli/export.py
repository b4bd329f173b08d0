"""The verb ``export``: write a bundle."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fleetfit import Architecture, Budget, InputError, Measurement, Target, Workload, to_json
from fleetfit.files import check_new
from search.cli.console import mib, ms, progress, result, shown_score, shown_status, table
from search.cli.members import member_of
from search.cli.options import (
    AsJson,
    StoreUrl,
    Threads,
    budgets_of,
    open_store,
    refuse_alone,
    share_of,
    targets_of,
)
from search.cli.task_source import labelled_files
from search.order import Order
from search.record import VerifiedRecord, read_record

if TYPE_CHECKING:
    from exporters import Manifest
    from profiler import ModelFile

__all__ = ["export"]


def export(
    model: Annotated[
        Path, typer.Argument(help="Directory that finetune wrote: a network or a supernet.")
    ],
    out: Annotated[Path, typer.Argument(help="New directory for the bundle.")],
    verified: Annotated[
        Path | None, typer.Option(help="verified.json: target, budgets and predictions.")
    ] = None,
    architecture: Annotated[
        str | None,
        typer.Option(
            help="Member of a supernet, where there is no verified.json: largest, smallest, or a "
            "JSON file."
        ),
    ] = None,
    target: Annotated[
        str | None,
        typer.Option(
            help="RUNTIME-PRECISION, where there is no verified.json. Default: the first that "
            "describe lists."
        ),
    ] = None,
    store: StoreUrl = "fleetfit.db",
    threads: Threads = None,
    budget: Annotated[
        list[str] | None, typer.Option(help="Where there is no verified.json.")
    ] = None,
    batch: Annotated[int | None, typer.Option(min=1, help="Sequences at once; 1.")] = None,
    seq_len: Annotated[int | None, typer.Option(min=1, help="Tokens per sequence; 128.")] = None,
    test: Annotated[
        Path | None, typer.Option(help="Labelled file: the exported model is scored on it.")
    ] = None,
    task: Annotated[
        str | None, typer.Option(help="GLUE task in whose layout that file is, as in sst2.")
    ] = None,
    text_column: Annotated[
        str | None, typer.Option(help="Of the labelled file. Default: text.")
    ] = None,
    pair_column: Annotated[
        str | None, typer.Option(help="Of the labelled file, for a model of pairs.")
    ] = None,
    label_column: Annotated[
        str | None, typer.Option(help="Of the labelled file. Default: label.")
    ] = None,
    source_accuracy: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            help="The source model's, fine-tuned equally: the task's first metric, a share.",
        ),
    ] = None,
    calibration: Annotated[
        Path | None,
        typer.Option(
            help="Labelled file, read as --test is, from whose texts int8 takes its scales: texts "
            "that were trained on."
        ),
    ] = None,
    calibration_samples: Annotated[
        int | None, typer.Option(min=1, help="Texts of it that are used; 300.")
    ] = None,
    max_loss: Annotated[
        str | None,
        typer.Option(
            help="With --test: how far the task's metric may fall from the same network's in fp32, "
            "in points; 1%."
        ),
    ] = None,
    json: AsJson = False,
) -> None:
    """Emit ONNX, check it against PyTorch, measure it here, and write a bundle.

    A supernet of finetune --supernet gives the member of verified.json as it is: one fine-tuning,
    a bundle for each device.

    Exit code 3, and no bundle, where the exported model misses a budget when measured: then
    verify --next finds the next candidate to fine-tune; or where its precision loses more than
    --max-loss.
    """
    from devices import describe
    from profiler import keep_better, verify
    from search.bundling import make_bundle

    check_new(out)
    scored, seen = labelled_files(
        test=test,
        calibration=calibration,
        task=task,
        text_column=text_column,
        pair_column=pair_column,
        label_column=label_column,
    )
    if scored is None:
        refuse_alone("--test", source_accuracy=source_accuracy, max_loss=max_loss)
    if seen is None:
        refuse_alone("--calibration", calibration_samples=calibration_samples)
    device = describe()
    if verified is not None:
        _check_alone(
            architecture=architecture,
            target=target,
            threads=threads,
            budget=budget,
            batch=batch,
            seq_len=seq_len,
        )
        order = Order.of(read_record(verified, VerifiedRecord))
    else:
        chosen = targets_of([target] if target else None, device, threads)
        order = Order(
            target=chosen[0],
            architecture=None if architecture is None else _member(model, architecture),
            workload=Workload(batch=batch or 1, seq_len=seq_len or 128),
            budgets=_absolute(budgets_of(budget or [])),
        )
    _check_calibration(order.target, calibration)
    if order.target.precision == "fp32" and max_loss is not None:
        raise InputError(
            f"--max-loss must come with another precision than fp32, but got {order.target}; leave "
            "it out."
        )
    order = dataclasses.replace(
        order,
        test=scored,
        source_accuracy=source_accuracy,
        calibration=seen,
        calibration_samples=calibration_samples or 300,
        most_loss=0.01 if max_loss is None else share_of("--max-loss", max_loss),
    )
    status: list[str] = []
    with open_store(store) as opened, progress("exporting") as report:

        def measure(file: ModelFile) -> Measurement:
            found = verify(file, device=device, store=opened, progress=report)
            keep_better(opened, found)
            status[:] = [shown_status(found)]
            return found

        made = make_bundle(model, out, order=order, measure=measure, progress=report)
    result(_shown(made, out, status[-1]), as_json=json)


def _shown(made: Manifest, out: Path, status: str) -> dict[str, object]:
    """Print the table; what a program wants to know."""
    metric = made.metric
    name = metric.name.replace("_", " ") if metric else "metric"
    columns = (
        "bundle",
        "target",
        "p50",
        "95 % upper",
        "memory",
        "parity",
        name,
        "in fp32",
        "status",
    )
    row = (
        str(out),
        str(made.target),
        ms(made.measured.latency_p50_s),
        ms(made.measured.upper_latency_p50_s),
        mib(made.measured.memory_bytes),
        f"{made.parity.max_abs_diff:.1e} of {made.parity.limit:.1e}",
        shown_score(metric.name, metric.value) if metric else "-",
        "-"
        if metric is None or metric.fp32_value is None
        else shown_score(metric.name, metric.fp32_value),
        status,
    )
    table(f"Exported and measured, {made.workload}", columns, [row])
    summary: dict[str, object] = {"bundle": str(out), "measured": to_json(made.measured)}
    reached = {f"test_{metric.name}": metric.value} if metric else {"test_accuracy": None}
    return summary | reached


def _member(supernet: Path, text: str) -> Architecture:
    from supernet.spaces import is_checkpoint, read_config

    if not is_checkpoint(supernet):
        raise InputError(
            f"--architecture must name a member of a supernet, but {supernet} is one network; "
            "leave it out."
        )
    return member_of(text, read_config(supernet).space)


def _check_alone(**given: object) -> None:
    """``verified.json`` decides what these options would: none may be given beside it."""
    twice = [f"--{name.replace('_', '-')}" for name, value in given.items() if value]
    if twice:
        raise InputError(
            f"Either --verified or {twice[0]} must be given, but got both; leave one out."
        )


def _check_calibration(target: Target, calibration: Path | None) -> None:
    """Before anything is read or built."""
    if target.precision == "int8" and calibration is None:
        raise InputError(
            f"--calibration must name texts for {target}, but is not given; give the file that was "
            "trained on."
        )
    if target.precision != "int8" and calibration is not None:
        raise InputError(
            "--calibration must come with a target of calibrated int8, as onnxruntime-int8 is, but "
            f"got {target}; leave it out."
        )


def _absolute(budgets: Sequence[Budget]) -> tuple[Budget, ...]:
    relative = [str(b) for b in budgets if b.relative]
    if relative:
        raise InputError(
            f"Budgets of export must be absolute, but got {relative[0]}; give it in units."
        )
    return tuple(budgets)
