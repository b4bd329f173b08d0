"""What a store says of its own noise: measurements made twice (A/A)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fleetfit import DeviceInfo
from search.cli.console import percent, progress, say, table

if TYPE_CHECKING:
    from profiler import NoiseFloor, Store

__all__ = ["measure_again", "show_floors"]


def measure_again(
    store: Store, device: DeviceInfo, *, share: float, seed: int
) -> tuple[int, tuple[NoiseFloor, ...]]:
    """Measure a share of the store once more and show the noise floors; how many were measured."""
    from profiler import RepeatSettings, repeat

    settings = RepeatSettings(share=share, seed=seed)
    with progress("measuring again") as report:
        found = repeat(store, device=device, settings=settings, progress=report)
    floors = show_floors(store, device)
    if not floors:
        say(
            f"{len(found)} measurements were repeated, but no pair is undisturbed both times, so "
            "there is no noise floor yet; repeat it on a quieter machine."
        )
    return len(found), floors


def show_floors(store: Store, device: DeviceInfo) -> tuple[NoiseFloor, ...]:
    """A table of the noise floors of this machine under its versions of now; none where empty."""
    from profiler import is_present, noise_floors

    here = [
        rows
        for rows in store.repeated()
        if rows[0].device.name == device.name and is_present(rows[0], device)
    ]
    floors = noise_floors(here)
    several = len({f.workload for f in floors}) > 1
    columns = (
        "target",
        *(["workload"] if several else []),
        "protocol",
        "pairs",
        "median difference",
        "95 % are below",
    )
    rows = [
        (
            str(f.target),
            *([str(f.workload)] if several else []),
            f.protocol,
            str(f.pairs),
            percent(f.median),
            percent(f.p95),
        )
        for f in floors
    ]
    if floors:
        table("Noise floor: median latencies of the same networks, measured twice", columns, rows)
    return floors
