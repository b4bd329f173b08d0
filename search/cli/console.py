"""What a person sees: tables, progress, numbers with units. All of it on stderr, but results."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable, Iterator, Sequence

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from fleetfit import Budget

__all__ = ["in_unit", "mib", "ms", "percent", "progress", "result", "say", "table"]

Report = Callable[[int, int, str], None]


def _console() -> Console:
    """Made at each use, so that a redirected stderr is honoured; wide where there is no screen."""
    console = Console(stderr=True, highlight=False)
    return console if console.is_terminal else Console(stderr=True, highlight=False, width=140)


def say(text: str) -> None:
    """One line for a person."""
    _console().print(text, soft_wrap=True)


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table for a person; every column but the first is right-aligned."""
    grid = Table(title=title, title_justify="left")
    for i, column in enumerate(columns):
        grid.add_column(column, justify="left" if i == 0 else "right")
    for row in rows:
        grid.add_row(*map(escape, row))
    _console().print(grid)


def result(data: dict[str, object], *, as_json: bool) -> None:
    """The one JSON document on stdout, where it was asked for."""
    if as_json:
        sys.stdout.write(json.dumps(data, ensure_ascii=False, allow_nan=False) + "\n")
        sys.stdout.flush()


@contextlib.contextmanager
def progress(what: str) -> Iterator[Report]:
    """A bar with time left, for anything over two seconds; nothing where there is no terminal."""
    console = _console()
    if not console.is_terminal:
        yield lambda done, total, note: None
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("[dim]{task.fields[note]}"),
    )
    with Progress(*columns, console=console) as bars:
        task = bars.add_task(what, total=None, note="")

        def report(done: int, total: int, note: str) -> None:
            bars.update(task, completed=done, total=total, note=note)

        yield report


def ms(seconds: float | None) -> str:
    """Milliseconds; three significant digits below 1."""
    if seconds is None:
        return "-"
    number = seconds * 1e3
    return f"{number:.2f} ms" if number >= 1 else f"{number:.3g} ms"


def mib(count: float | None) -> str:
    """Mebibytes."""
    return "-" if count is None else f"{count / 2**20:.1f} MiB"


def percent(share: float | None) -> str:
    """Percent."""
    return "-" if share is None else f"{share:.1%}"


def in_unit(budget: Budget, value: float) -> str:
    """A value in the unit that its budget prints."""
    shown = str(Budget(metric=budget.metric, relation=budget.relation, limit=value))
    return shown.split(budget.relation)[1]
