"""The measured front of this machine as a picture, from the store that the benchmarks filled.

    python -m benchmarks.front [--supernet DIR] [--store PATH] [--out docs/front.png]

Run ``benchmarks.predict`` and ``benchmarks.search`` first. Every dot is a measured network: random
members by the survey protocol, verified ones by the verify protocol; its height is the loss on
WikiText-2 valid that the search chose by.
"""

from __future__ import annotations

import argparse
import io
from pathlib import Path

from rich.table import Table

from benchmarks._report import finish
from benchmarks.search import WORKLOAD, load_qualities, report
from devices import describe
from fleetfit import Measurement, Target
from fleetfit.files import write_bytes
from profiler import Store, is_present
from search import CachedQuality
from supernet.spaces import SearchSpace

Point = tuple[Measurement, float]
COLOURS = ("tab:blue", "tab:orange", "tab:green", "tab:red")


def main() -> None:
    parser = argparse.ArgumentParser(description="Draw the measured front.")
    parser.add_argument("--supernet", type=Path, default=Path("supernet/default"))
    parser.add_argument("--store", type=Path, default=Path("runs/benchmarks/measurements.sqlite"))
    parser.add_argument("--out", type=Path, default=Path("docs/front.png"))
    options = parser.parse_args()
    supernet, qualities, key = load_qualities(options.supernet)
    with Store(f"sqlite:///{options.store.resolve()}") as store:
        quality = CachedQuality(qualities["valid"], store=store, key=key)
        device = describe()
        rows = store.measurements(device_class=device.device_class)
        rows = [r for r in rows if r.job.query.workload == WORKLOAD and is_present(r, device)]
        points: list[Point] = []
        for i, row in enumerate(rows):
            query = row.job.query
            pair = (query.architecture, query.target.precision)
            points.append((row, quality([pair])[0]))
            report(i + 1, len(rows), query.architecture.summary())
    draw(points, supernet.space, options.out)
    table = Table(title=f"Measured networks, {WORKLOAD}")
    for name in ("target", "surveyed", "verified"):
        table.add_column(name)
    for target in targets_of(points):
        counts = [
            sum(r.job.protocol == p for r, _ in points if r.job.query.target == target)
            for p in ("survey", "verify")
        ]
        table.add_row(str(target), *map(str, counts))
    finish(table, {"points": len(points), "picture": str(options.out)})


def targets_of(points: list[Point]) -> list[Target]:
    return sorted({r.job.query.target for r, _ in points}, key=str)


def draw(points: list[Point], space: SearchSpace, out: Path) -> None:
    """Latency against loss, a colour for each target; uniform and other verified networks apart."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    uniform = {a.cost_id for a in space.uniform()}
    figure, axes = pyplot.subplots(figsize=(9, 5.5), layout="constrained")
    for target, colour in zip(targets_of(points), COLOURS, strict=False):
        mine = [(r, y) for r, y in points if r.job.query.target == target]
        for name, marker, size, chosen in (
            ("random, surveyed", "o", 20, lambda r: r.job.protocol == "survey"),
            ("uniform, verified", "s", 30, lambda r: _is(r, uniform, wanted=True)),
            ("searched, verified", "*", 150, lambda r: _is(r, uniform, wanted=False)),
        ):
            dots = [(r.latency_p50_s * 1e3, y) for r, y in mine if chosen(r)]
            if dots:
                style = {"marker": marker, "s": size, "color": colour, "edgecolors": "white"}
                axes.scatter(*zip(*dots, strict=True), label=f"{target}, {name}", **style)
    axes.set_xscale("log")
    axes.set_xticks([1, 2, 3, 5, 7, 10, 15, 20], labels=["1", "2", "3", "5", "7", "10", "15", "20"])
    axes.minorticks_off()
    axes.set_xlabel(f"measured median latency, ms ({WORKLOAD})")
    axes.set_ylabel("distance to the source's hidden states (WikiText-2 valid)")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    picture = io.BytesIO()
    figure.savefig(picture, dpi=110, format=out.suffix.removeprefix(".") or "png")
    write_bytes(out, picture.getvalue())


def _is(row: Measurement, uniform: set[str], *, wanted: bool) -> bool:
    """A verified network that is uniform, or that is not."""
    named = row.job.query.architecture.cost_id in uniform
    return row.job.protocol == "verify" and named == wanted


if __name__ == "__main__":
    main()
