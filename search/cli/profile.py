"""The verb that measures sub-networks on this machine."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer
from rich.markup import escape

from fleetfit import DeviceInfo, Measurement, Query, Target, Workload, to_json
from search.cli.console import Report, mib, ms, percent, progress, result, say, table
from search.cli.noise import measure_again
from search.cli.options import (
    MAX_SEED,
    AsJson,
    Labels,
    StoreUrl,
    SupernetPath,
    Targets,
    Threads,
    head_of,
    numbers_of,
    open_store,
    refuse_beside,
    share_of,
    targets_of,
    written,
)
from search.cli.outlook import say_outlook
from search.cli.workload_options import Batches, Length, LengthsOf, SeqLens, workloads_of

if TYPE_CHECKING:
    from profiler import Store, SurveySettings
    from search.adaptive import Profiled
    from supernet.spaces import SearchSpace

__all__ = ["profile"]

Pairs = Sequence[tuple[Target, Workload]]
_WITH_REPEAT = ("supernet", "store", "repeat", "seed", "json")
"""All that matters where --repeat is given."""


@dataclass(frozen=True, kw_only=True)
class _Bench:
    """Where and how everything is measured."""

    store: Store
    device: DeviceInfo
    settings: SurveySettings


def profile(
    context: typer.Context,
    supernet: SupernetPath,
    store: StoreUrl = "fleetfit.db",
    networks: Annotated[
        int, typer.Option(min=1, help="How many sub-networks to measure; with --until the most.")
    ] = 40,
    until: Annotated[
        str | None,
        typer.Option(
            help="As in 3%: measure until the median latency is predicted as well as that in every "
            "target (cross-validated MAPE), where the predictors are least sure."
        ),
    ] = None,
    repeat: Annotated[
        str | None,
        typer.Option(
            help="As in 5%: measure nothing new, but that share of all that this machine measured "
            "(in every target and workload) once more, what never was repeated first, and print "
            "how far apart the two are (A/A)."
        ),
    ] = None,
    memory_every: Annotated[
        int,
        typer.Option(min=0, help="Memory of every k-th network, in a child of its own; 0: none."),
    ] = 4,
    target: Targets = None,
    threads: Threads = None,
    batch: Batches = "1",
    seq_len: SeqLens = "128",
    length: Length = None,
    lengths_of: LengthsOf = None,
    text_column: Annotated[
        str | None, typer.Option(help="Column of --lengths-of. Default: text.")
    ] = None,
    labels: Labels = 0,
    seed: Annotated[
        int, typer.Option(min=0, max=MAX_SEED, help="Of the choice, the weights and the order.")
    ] = 0,
    json: AsJson = False,
) -> None:
    """Measure sampled sub-networks in every target (survey protocol), and verify the source model.

    Every batch of --batch is measured with every length of --seq-len.

    Goes on where it stopped and never measures again what the store has; more networks go on from
    fewer. Networks run under random weights: cost does not depend on them. The source model is
    measured once more by the verify protocol: relative budgets are shares of that, and it scales
    what the survey teaches.
    """
    from devices import describe as describe_device
    from profiler import SurveySettings
    from supernet.spaces import read_config

    wanted = None if until is None else share_of("--until", until)
    if repeat is not None:
        refuse_beside("--repeat", **written(context, but=_WITH_REPEAT))
        again = share_of("--repeat", repeat)
        opened = open_store(store, create=False)
        count, floors = measure_again(opened, describe_device(), share=again, seed=seed)
        facts: dict[str, object] = {"measurements": count, "noise_floors": to_json(floors)}
        result(facts | {"store": opened.name}, as_json=json)
        return
    config = read_config(supernet)
    device = describe_device()
    space = config.space.with_head(head_of(labels, config.pooling))
    targets = targets_of(target, device, threads)
    workloads = workloads_of(
        supernet,
        numbers_of("--batch", batch),
        numbers_of("--seq-len", seq_len),
        length=length,
        lengths_of=lengths_of,
        text_column=text_column,
    )
    pairs = list(itertools.product(targets, workloads))
    settings = SurveySettings(seed=seed, memory_every=memory_every)
    opened = open_store(store)
    bench = _Bench(store=opened, device=device, settings=settings)
    found = None if wanted is None else _adaptive(space, pairs, bench, most=networks, error=wanted)
    measured = _planned(space, pairs, bench, networks) if found is None else found.measurements
    sources = _verified_sources(space, pairs, bench)
    _show(pairs, measured, sources)
    document: dict[str, object] = {"measurements": len(measured), "store": opened.name}
    if found is not None and wanted is not None:
        document |= _show_reached(found, wanted)
    result(document, as_json=json)


def _planned(space: SearchSpace, pairs: Pairs, bench: _Bench, count: int) -> list[Measurement]:
    """The networks of a plan, measured."""
    from profiler import plan
    from search.adaptive import queries_of

    chosen = plan(space, count, np.random.default_rng(bench.settings.seed))
    with progress("measuring") as report:
        return _surveyed(queries_of(chosen, pairs), bench, report)


def _adaptive(
    space: SearchSpace, pairs: Pairs, bench: _Bench, *, most: int, error: float
) -> Profiled:
    """Batches, until the error or the most networks are reached; one bar over all of them."""
    from profiler.survey import Survey
    from search.adaptive import Aim, Means, profile_until

    aim = Aim(error=error, most=most, seed=bench.settings.seed)
    with progress("measuring") as report:

        def measure(queries: Sequence[Query]) -> list[Measurement]:
            return _surveyed(queries, bench, _of_the_most(report, queries, pairs, most))

        def is_measured(queries: Sequence[Query]) -> bool:
            timed = dataclasses.replace(bench.settings, memory_every=0)
            survey = Survey(queries, store=bench.store, device=bench.device, settings=timed)
            return survey.is_complete

        return profile_until(space, pairs, aim, Means(measure=measure, is_measured=is_measured))


def _of_the_most(report: Report, queries: Sequence[Query], pairs: Pairs, most: int) -> Report:
    """A bar over all networks there may be, from one over those of ``queries``."""
    count = len(queries) // len(pairs)

    def tell(done: int, total: int, note: str) -> None:
        report(done, total * most // count, f"{count} of at most {most} networks; {note}")

    return tell


def _surveyed(queries: Sequence[Query], bench: _Bench, report: Report) -> list[Measurement]:
    from profiler import survey

    return survey(
        queries,
        store=bench.store,
        device=bench.device,
        settings=bench.settings,
        progress=report,
    )


def _verified_sources(
    space: SearchSpace, pairs: Pairs, bench: _Bench
) -> dict[tuple[Target, Workload], Measurement]:
    """The source model by the verify protocol."""
    from profiler import verified
    from search.adaptive import queries_of

    queries = queries_of([space.largest()], pairs)
    with progress("verifying the source model") as report:
        found = verified(queries, store=bench.store, device=bench.device, progress=report)
    return dict(zip(pairs, found, strict=True))


def _show(
    pairs: Pairs,
    measured: Sequence[Measurement],
    sources: dict[tuple[Target, Workload], Measurement],
) -> None:
    """One row for each target and workload."""
    several = len({workload for _, workload in pairs}) > 1
    rows = []
    for pair in pairs:
        mine = [m for m in measured if (m.job.query.target, m.job.query.workload) == pair]
        rows.append(
            (
                str(pair[0]),
                *([str(pair[1])] if several else []),
                str(len(mine)),
                ms(min(m.latency_p50_s for m in mine)),
                ms(sources[pair].latency_p50_s),
                mib(sources[pair].memory_bytes),
                percent(float(np.median([m.noise for m in mine]))),
                str(sum(m.status != "ok" for m in mine)),
            )
        )
    columns = (
        "target",
        *(["workload"] if several else []),
        "networks",
        "fastest p50",
        "source p50",
        "source memory",
        "noise",
        "flagged",
    )
    table("Measured" if several else f"Measured, {pairs[0][1]}", columns, rows)


def _show_reached(found: Profiled, wanted: float) -> dict[str, object]:
    """How good predictions are, what more would buy; the same for the JSON document."""
    from predictors import learning_curves

    count = len(found.networks)
    how = {
        "reached": f"{percent(wanted)} was reached with {count} networks.",
        "most": f"{percent(wanted)} was not reached with the {count} networks allowed.",
        "exhausted": f"{percent(wanted)} was not reached, and the space has no other networks "
        f"than the {count} measured.",
    }[found.stopped]
    for why in found.predictor.dropped_.values():
        say(escape(f"Left out: {why}"))
    say(f"{how} Errors of predicted median latency, cross-validated:")
    curves = learning_curves(found.predictor, found.measurements)
    say_outlook(curves, wanted=wanted)
    return {
        "networks": count,
        "until": wanted,
        "stopped": found.stopped,
        "error": found.error if math.isfinite(found.error) else None,
        "curves": to_json(curves),
    }
