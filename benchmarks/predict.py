"""How well cost is predicted on this machine: 60 networks to learn from, 60 others to test on.

    python -m benchmarks.predict [--store PATH] [--metric latency_p50]

Every target of this machine is measured; a run that was interrupted goes on from the store. With
several targets the figures are those of the worst one.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Final

import numpy as np
from rich import box
from rich.table import Table

from benchmarks._report import finish
from devices import describe
from exporters import default_targets
from fleetfit import (
    Architecture,
    InputError,
    Measurement,
    Query,
    Target,
    Workload,
)
from predictors import CostMetric, CostPredictor, Report, evaluate, learn
from profiler import Store, plan, survey
from supernet.spaces import SearchSpace, read_config

SEED: Final = 20
COUNT: Final = 60
DRAWS: Final = 100 * COUNT
GENOMES: Final = 20_000
WORKLOAD: Final = Workload()


def main() -> None:
    parser = argparse.ArgumentParser(description="Predict the cost of networks not measured.")
    parser.add_argument("--supernet", type=Path, default=Path("supernet/default"))
    parser.add_argument("--store", type=Path, default=Path("runs/benchmarks/measurements.sqlite"))
    parser.add_argument("--metric", choices=["latency_p50", "latency_p90"], default="latency_p50")
    options = parser.parse_args()
    space = read_config(options.supernet).space
    learned, held = split(space)
    measured = measure([*learned, *held], options.store)
    chosen = {a.cost_id for a in learned}
    parts: dict[bool, list[Measurement]] = {True: [], False: []}
    for row in measured:
        parts[row.job.query.architecture.cost_id in chosen].append(row)
    metric: CostMetric = options.metric
    predictor, _ = learn(parts[True], metric)
    reports = evaluate(predictor, parts[False])
    speed = min(rows_per_second(space, predictor, r.target) for r in reports)
    finish(
        table_of(reports),
        {
            "mape": max(r.errors.mape for r in reports),
            "within_10": min(r.errors.within_10 for r in reports),
            "tau": min(r.errors.tau for r in reports),
            # Coverage may be too low or too high; the worst is the furthest from 0.9.
            "coverage": max((r.coverage for r in reports), key=lambda c: abs(c - 0.9)),
            "rows_per_second": round(speed),
            "linear_mape": max(r.linear.mape for r in reports),
            "noise": max(r.noise or 0.0 for r in reports),
            "learned": COUNT,
            "held_out": COUNT,
            "seed": SEED,
        },
    )


def split(space: SearchSpace) -> tuple[list[Architecture], list[Architecture]]:
    """Planned networks to learn from, random ones to test on, none of them in both."""
    rng = np.random.default_rng(SEED)
    learned = plan(space, COUNT, rng)
    taken = {a.cost_id for a in learned}
    held: list[Architecture] = []
    draws = (space.sample(rng) for _ in range(DRAWS))
    while len(held) < COUNT and (arch := next(draws, None)) is not None:
        if arch.cost_id not in taken:
            taken.add(arch.cost_id)
            held.append(arch)
    if not len(learned) == len(held) == COUNT:
        raise InputError(
            f"A space must have {2 * COUNT} networks of different cost, but {DRAWS} draws found "
            f"{len(held)} beside {len(learned)} planned; take a supernet with a larger one."
        )
    return learned, held


def measure(architectures: list[Architecture], store: Path) -> list[Measurement]:
    """All networks on all targets, in one survey, so that both halves see the same machine."""
    device = describe()
    targets = default_targets(device, threads=device.default_threads)
    queries = [
        Query(architecture=a, target=t, workload=WORKLOAD) for t in targets for a in architectures
    ]
    store.parent.mkdir(parents=True, exist_ok=True)
    with Store(f"sqlite:///{store.resolve()}") as opened:
        return survey(queries, store=opened, device=device, progress=say)


def say(done: int, planned: int, following: str) -> None:
    if done % 20 == 0:
        print(f"{done} of {planned} visits, next {following}", file=sys.stderr, flush=True)


def rows_per_second(space: SearchSpace, predictor: CostPredictor, target: Target) -> float:
    """Genomes to means and intervals, the best of five passes."""
    draws = np.random.default_rng(SEED).integers(0, 99, size=(GENOMES, len(space.gene_sizes)))
    genomes = space.repair(draws)
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        predictor.predict_table(space.layer_table(genomes), target, WORKLOAD)
        seconds.append(time.perf_counter() - start)
    return GENOMES / min(seconds)


def table_of(reports: tuple[Report, ...]) -> Table:
    title = f"{COUNT} networks learned, {COUNT} held out, {WORKLOAD}, seed {SEED}"
    # Narrow enough for 80 columns: rich would shorten the names of the targets first.
    table = Table(title=title, box=box.SIMPLE, padding=0, pad_edge=False)
    table.add_column("target", no_wrap=True)
    for name in ("MAPE", "in 10%", "tau", "cover", "±", "linear", "noise", "range"):
        table.add_column(name, justify="right", no_wrap=True)
    for r in reports:
        table.add_row(
            str(r.target),
            f"{r.errors.mape:.1%}",
            f"{r.errors.within_10:.1%}",
            f"{r.errors.tau:.3f}",
            f"{r.coverage:.1%}",
            f"{r.half_width:.1%}",
            f"{r.linear.mape:.1%}",
            f"{r.noise:.1%}",
            f"{r.spread:.1f}",
        )
    return table


if __name__ == "__main__":
    main()
