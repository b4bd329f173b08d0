"""Verbs that compute for long give way to measurements on the same machine."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator

from rich.markup import escape

from devices import giving_way
from search.cli.console import Report, progress, say

__all__ = ["polite", "polite_progress"]


@contextlib.contextmanager
def polite(verb: str) -> Iterator[Callable[[], float]]:
    """What the verb calls between two steps: it waits while a measurement has the machine.

    Of several processes on a machine the first one does, and the others wait for it in their next
    exchange.
    """
    if os.environ.get("LOCAL_RANK", "0") != "0":
        yield lambda: 0.0
        return
    with giving_way(f"fleetfit {verb}", say=lambda text: say(escape(text))) as pause:
        yield pause


@contextlib.contextmanager
def polite_progress(verb: str, what: str) -> Iterator[Report]:
    """A bar whose every step gives way to measurements first."""
    with polite(verb) as pause, progress(what) as report:

        def stepped(done: int, total: int, note: str) -> None:
            pause()
            report(done, total, note)

        yield stepped
