"""How fast and how steadily this machine is profiled: ``python -m benchmarks.profile``.

Networks of the shipped supernet's space, in every target of this machine, batch 1, 128 tokens,
with the ``survey`` protocol; the clock covers all visits, builds, loads and reference runs. No
memory children run.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
from rich.table import Table

from benchmarks._report import finish
from devices import describe
from exporters import default_targets
from fleetfit import Measurement, Query, Workload
from fleetfit.statistics import percentile
from profiler import Store, SurveySettings, plan, survey
from supernet.spaces import read_config


def difference(measurement: Measurement) -> float:
    """Relative difference between the medians of the first two visits."""
    first, second = (percentile(s, 0.5) for s in measurement.samples_s[:2])
    return abs(first - second) / min(first, second)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--supernet", type=Path, default=Path("supernet/default"))
    parser.add_argument("--networks", type=int, default=16, help="networks to measure (>= 2)")
    parser.add_argument("--seed", type=int, default=0)
    found, total_s = surveyed(parser.parse_args())
    finish(table_of(found), figures_of(found, total_s))


def figures(args: argparse.Namespace) -> dict[str, object]:
    """As a part of ``benchmarks.measure``."""
    return figures_of(*surveyed(args))


def surveyed(args: argparse.Namespace) -> tuple[list[Measurement], float]:
    """The measurements and the seconds that all of it took."""
    device = describe()
    space = read_config(args.supernet).space
    networks = plan(space, args.networks, np.random.default_rng(args.seed))
    targets = default_targets(device, threads=device.default_threads)
    queries = [
        Query(architecture=a, target=t, workload=Workload()) for a in networks for t in targets
    ]
    with tempfile.TemporaryDirectory() as folder, Store(f"sqlite:///{Path(folder)}/s.db") as store:
        start = time.perf_counter()
        found = survey(queries, store=store, device=device, settings=SurveySettings(seed=args.seed))
        return found, time.perf_counter() - start


def by_target(found: list[Measurement]) -> dict[str, list[Measurement]]:
    groups: dict[str, list[Measurement]] = defaultdict(list)
    for measurement in found:
        groups[str(measurement.job.query.target)].append(measurement)
    return groups


def table_of(found: list[Measurement]) -> Table:
    table = Table(title=f"survey, {found[0].job.query.workload}, {found[0].device.name}")
    for column in ("target", "measured", "noisy", "visits", "between visits", "noise", "median ms"):
        table.add_column(column, justify="left" if column == "target" else "right", no_wrap=True)
    for name, members in by_target(found).items():
        table.add_row(
            name,
            str(len(members)),
            str(sum(m.status != "ok" for m in members)),
            f"{np.mean([len(m.samples_s) for m in members]):.2f}",
            f"{np.median([difference(m) for m in members]):.2%}",
            f"{np.median([m.noise for m in members]):.2%}",
            f"{np.median([m.latency_p50_s for m in members]) * 1e3:.2f}",
        )
    return table


def figures_of(found: list[Measurement], total_s: float) -> dict[str, object]:
    return {
        "measurements": len(found),
        "measurements_per_minute": round(60 * len(found) / total_s, 2),
        "total_seconds": round(total_s, 1),
        "noisy": sum(m.status != "ok" for m in found),
        "difference_between_visits": max(
            round(float(np.median([difference(m) for m in members])), 4)
            for members in by_target(found).values()
        ),
        "noise": round(float(np.median([m.noise for m in found])), 4),
    }


if __name__ == "__main__":
    main()
