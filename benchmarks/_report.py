"""How every benchmark ends: a table for people, then one line of JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Mapping

from rich.console import Console
from rich.table import Table

__all__ = ["finish"]


def finish(table: Table, figures: Mapping[str, object]) -> None:
    """Print the table, then ``figures`` as the last line of stdout: one JSON object.

    Raises ValueError for numbers that JSON has no form for (nan, infinity).
    """
    # Where stdout is no terminal rich assumes 80 columns, which folds every cell.
    console = Console()
    console.width = max(console.width, 160)
    console.print(table)
    print(json.dumps(dict(figures), sort_keys=True, allow_nan=False), flush=True)
