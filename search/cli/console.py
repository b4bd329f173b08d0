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
from rich.table import Table

__all__ = ["mib", "ms", "percent", "progress", "result", "say", "shown_score", "table"]

Report = Callable[[int, int, str], None]


def _console() -> Console:
    """Made at each use, so that a redirected stderr is honoured; wide where there is no screen."""
    console = Console(stderr=True, highlight=False)
    return console if console.is_terminal else Console(stderr=True, highlight=False, width=140)


def say(text: str) -> None:
    """One line for a person."""
    _console().print(text, soft_wrap=True)


_NUMBER = re.compile(r"(-|[\d.,]+(e[+-]?\d+)? ?(us|ms|s|[KMG]iB|K|M|B|%|/s)?)?")


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table for a person; numbers are right-aligned on one line, no cell is cut."""
    grid = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for i, column in enumerate(columns):
        numbers = bool(rows) and all(_NUMBER.fullmatch(row[i]) for row in rows)
        justify: Literal["left", "right"] = "right" if numbers else "left"
        grid.add_column(column, justify=justify, no_wrap=numbers, overflow="fold")
    for row in rows:
        grid.add_row(*map(escape, row))
    console = _console()
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
    """Mebibytes; gibibytes from 10 of them."""
    if count is None:
        return "-"
    large = count >= 10 * 2**30
    return f"{count / 2**30:.1f} GiB" if large else f"{count / 2**20:.1f} MiB"


def percent(share: float | None) -> str:
    """Percent."""
    return "-" if share is None else f"{share:.1%}"


def shown_score(metric: str, value: float | None) -> str:
    """A task's metric: a correlation as a number, a share in percent."""
    from supernet.spaces import CORRELATIONS

    return f"{value:.3f}" if value is not None and metric in CORRELATIONS else percent(value)
