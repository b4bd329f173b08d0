"""The verb ``store``: what a store of measurements holds, and moving it between stores."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from fleetfit import InputError, Measurement, dumps, loads
from search.cli.console import result, say, table
from search.cli.options import AsJson, StoreUrl

if TYPE_CHECKING:
    from profiler import Contents, Merged

__all__ = ["app"]

app = typer.Typer(
    help="Show, export, import and merge stores of measurements.",
    rich_markup_mode="markdown",
)


@app.command()
def show(store: StoreUrl = "fleetfit.db", json: AsJson = False) -> None:
    """What was measured, one line for each device, target, protocol and versions."""
    from profiler import Store, contents_of

    with Store(store, create=False) as opened:
        contents, name = contents_of(opened), opened.name
    groups = _groups(contents)
    cells = [
        (
            group["device"],
            group["target"],
            f"{group['protocol']} {group['protocol_version']}",
            ", ".join(f"{k} {v}" for k, v in group["versions"].items()) or "-",
            *(str(group[count]) for count in ("rows", "repeats", "flagged")),
            *(group[time] or "-" for time in ("first", "last")),
        )
        for group in groups
    ]
    columns = ("device", "target", "protocol", "versions", "rows", "repeats", "flagged")
    others = _others(contents)
    count = sum(group["rows"] + group["repeats"] for group in groups)
    table(f"{name}: {count} measurements, {_listed(others)}", (*columns, "first", "last"), cells)
    result({"store": name, "measurements": groups} | others, as_json=json)


@app.command()
def export(
    out: Annotated[Path, typer.Argument(help="New Parquet file.")],
    store: StoreUrl = "fleetfit.db",
    json: AsJson = False,
) -> None:
    """Write everything in a store to one Parquet file."""
    from profiler import Store, contents_of, write_parquet

    if out.exists():
        raise InputError(f"{out} must be a new file, but is there already; choose another name.")
    with Store(store, create=False) as opened:
        contents = contents_of(opened)
    write_parquet(contents, out)
    counts = {"measurements": len(contents.measurements)} | _others(contents)
    say(escape(f"{out}: {_listed(counts)}"))
    result(counts | {"file": str(out)}, as_json=json)


@app.command(name="import")
def import_(
    source: Annotated[Path, typer.Argument(help="Parquet file that export wrote.")],
    store: StoreUrl = "fleetfit.db",
    json: AsJson = False,
) -> None:
    """Put a Parquet file into a store, new or not; what is there already is not put in again."""
    from profiler import Store, merge, read_parquet

    contents = read_parquet(source)
    with Store(store) as opened:
        _tell(merge(opened, contents), opened.name, as_json=json)


@app.command(name="merge")
def merge_(
    other: Annotated[str, typer.Argument(help="Store to take from: a URL or a file name.")],
    store: StoreUrl = "fleetfit.db",
    json: AsJson = False,
) -> None:
    """Put everything in another store into this one, new or not; doing it twice changes nothing.

    A measurement of the same job, device and versions with other samples is kept as a repeat.
    """
    from profiler import Store, contents_of, merge

    with Store(other, create=False) as opened:
        contents = contents_of(opened)
    with Store(store) as opened:
        _tell(merge(opened, contents), opened.name, as_json=json)


def _tell(merged: Merged, name: str, *, as_json: bool) -> None:
    counts = dataclasses.asdict(merged)
    cells = [(what, str(count)) for what, count in counts.items()]
    table(f"Into {name}", ("what", "rows"), cells)
    result(counts | {"store": name}, as_json=as_json)


def _groups(contents: Contents) -> list[dict[str, Any]]:
    """Counts of what shares device, target, protocol and versions; times are labels in order."""
    groups: dict[str, dict[str, Any]] = {}
    for row in contents.measurements:
        found = loads(Measurement, row["measurement"])
        job, target = found.job, found.job.query.target
        name = dumps((found.device.name, target.id, job.protocol, job.protocol_version))
        group = groups.setdefault(
            name + row["versions"],
            {
                "device": found.device.name,
                "device_class": found.device.device_class,
                "target": str(target),
                "protocol": job.protocol,
                "protocol_version": job.protocol_version,
                "versions": dict(sorted(found.versions.items())),
                "rows": 0,
                "repeats": 0,
                "flagged": 0,
                "first": found.measured_at,
                "last": found.measured_at,
            },
        )
        group["repeats" if row["repeat"] else "rows"] += 1
        group["flagged"] += found.status != "ok"
        # Rows of a merged store come after those that were there, however old they are.
        known = [time for time in (group["first"], group["last"], found.measured_at) if time]
        group["first"], group["last"] = min(known, default=""), max(known, default="")
    return list(groups.values())


def _others(contents: Contents) -> dict[str, Any]:
    """Counts of what is no measurement."""
    return {
        "visits": len(contents.visits),
        "qualities": len(contents.qualities),
        "references": len(contents.references),
    }


def _listed(counts: dict[str, Any]) -> str:
    return ", ".join(f"{count} {what}" for what, count in counts.items())
