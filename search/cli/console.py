"""What a person sees: tables, progress, numbers with units. All of it on stderr, but results."""

from __future__ import annotations

import contextlib
import json
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Literal

from rich import box
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
from rich.table import Column, Table

from fleetfit import Measurement

__all__ = [
    "Report",
    "mib",
    "ms",
    "percent",
    "progress",
    "result",
    "say",
    "shown_score",
    "shown_status",
    "table",
]

Report = Callable[[int, int, str], None]


def _console() -> Console:
    """Made at each use, so that a redirected stderr is honoured; wide where there is no screen."""
    console = Console(stderr=True, highlight=False)
    return console if console.is_terminal else Console(stderr=True, highlight=False, width=140)


def say(text: str) -> None:
    """One line for a person."""
    _console().print(text, soft_wrap=True)


_NUMBER = re.compile(r"(-|-?[\d.,]+(e[+-]?\d+)? ?(us|ms|s|[KMG]iB|K|M|B|%|/s)?)?")


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table for a person; numbers are right-aligned on one line, no cell is cut.

    Headings are wrapped first, then cells that are no numbers.
    """
    console = _console()
    grid = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    cells = [max((len(row[i]) for row in rows), default=0) for i in range(len(columns))]
    tight = [max([n, *map(len, c.split())]) for n, c in zip(cells, columns, strict=True)]
    loose = [max(n, len(c)) for n, c in zip(cells, columns, strict=True)]
    room = console.width - 2 * len(columns) - 2  # beside padding and edges
    all_fit, tight_fit = sum(loose) <= room, sum(tight) <= room
    for i, column in enumerate(columns):
        numbers = bool(rows) and all(_NUMBER.fullmatch(row[i]) for row in rows)
        justify: Literal["left", "right"] = "right" if numbers else "left"
        width = tight[i] if not all_fit and (numbers or tight_fit) else None
        grid.add_column(column, justify=justify, width=width, overflow="fold")
    for row in rows:
        grid.add_row(*map(escape, row))
    console.print(f"[italic]{escape(title)}[/]", soft_wrap=True)
    console.print(grid)


def result(data: dict[str, object], *, as_json: bool) -> None:
    """The one JSON document on stdout, where it was asked for."""
    if as_json:
        try:
            sys.stdout.write(json.dumps(data, ensure_ascii=False, allow_nan=False) + "\n")
            sys.stdout.flush()
        except BrokenPipeError:  # nobody reads any more; nor shall the flush at exit complain
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextlib.contextmanager
def progress(what: str) -> Iterator[Report]:
    """A bar with time left, for anything over two seconds; nothing where there is no terminal.

    Of several processes of a training run the first one draws.
    """
    console = _console()
    if not console.is_terminal or os.environ.get("RANK", "0") != "0":
        yield lambda done, total, note: None
        return
    rest = Column(no_wrap=True, overflow="ellipsis", ratio=1)
    columns = (
        TextColumn("{task.description}", table_column=Column(no_wrap=True)),
        BarColumn(bar_width=20, table_column=Column(no_wrap=True)),
        MofNCompleteColumn(table_column=Column(no_wrap=True)),
        TimeElapsedColumn(table_column=Column(no_wrap=True)),
        TimeRemainingColumn(table_column=Column(no_wrap=True)),
        TextColumn("[dim]{task.fields[note]}", table_column=rest),
    )
    with Progress(*columns, console=console, expand=True) as bars:
        task = bars.add_task(what, total=None, note="")

        def report(done: int, total: int, note: str) -> None:
            bars.update(task, completed=done, total=total, note=note)

        yield report
        bars.update(task, visible=bool(bars.tasks[0].total))  # nothing was to be done


def ms(seconds: float | None) -> str:
    """Milliseconds; three significant digits below 1."""
    if seconds is None:
        return "-"
    number = seconds * 1e3
    return f"{number:.2f} ms" if number >= 1 else f"{number:.3g} ms"


def mib(count: float | None) -> str:
    """Mebibytes; gibibytes from 10 of them."""
    if count is None:
        return "-"
    large = count >= 10 * 2**30
    return f"{count / 2**30:.1f} GiB" if large else f"{count / 2**20:.1f} MiB"


def percent(share: float | None) -> str:
    """Percent."""
    return "-" if share is None else f"{share:.1%}"


def shown_status(found: Measurement) -> str:
    """Whether something disturbed a measurement, and what."""
    return f"{found.status}: {', '.join(found.flags)}" if found.flags else found.status


def shown_score(metric: str, value: float | None) -> str:
    """A task's metric: a correlation as a number, a share in percent."""
    from supernet.spaces import CORRELATIONS

    return f"{value:.3f}" if value is not None and metric in CORRELATIONS else percent(value)
