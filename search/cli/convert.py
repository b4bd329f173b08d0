"""The verb ``convert``: a BERT checkpoint becomes a supernet."""

from __future__ import annotations

import dataclasses
from itertools import chain
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from fleetfit import InputError
from fleetfit.files import check_new
from search.cli.console import progress, result, say
from search.cli.corpus import Texts
from search.cli.options import AsJson, numbers_of
from supernet.spaces import CHOICES, Choices, default_choices, read_config

__all__ = ["convert"]

Sizes = Annotated[str | None, typer.Option(help="Comma-separated choices; one: not elastic.")]


def convert(
    source: Annotated[Path, typer.Argument(help="Checkpoint directory of model type bert.")],
    out: Annotated[Path, typer.Argument(help="New directory for the supernet.")],
    text: Texts,
    space: Annotated[
        str, typer.Option(help="elastic, supershaper or autotinybert, scaled to the checkpoint.")
    ] = "elastic",
    depths: Sizes = None,
    embedding_widths: Sizes = None,
    widths: Sizes = None,
    heads: Sizes = None,
    head_dims: Sizes = None,
    ffns: Sizes = None,
    licence: Annotated[str, typer.Option(help="Licence of the weights (SPDX).")] = "unknown",
    source_name: Annotated[
        str | None,
        typer.Option(help="What the checkpoint is, for the provenance. Default: its folder."),
    ] = None,
    json: AsJson = False,
) -> None:
    """Turn a BERT checkpoint into a supernet whose largest member equals it.

    The text decides which dimensions, heads and units matter most; a few hundred lines do.
    """
    from supernet.convert import About, read_source
    from supernet.convert import convert as convert_source
    from supernet.text import read_lines

    check_new(out)
    given = {
        "depths": depths,
        "embedding_widths": embedding_widths,
        "widths": widths,
        "heads": heads,
        "head_dims": head_dims,
        "ffns": ffns,
    }
    chosen = _choices(space)
    changed = {
        name: numbers_of(_option(name), value) for name, value in given.items() if value is not None
    }
    odd = sorted(changed.keys() - {field.name for field in dataclasses.fields(chosen)})
    if odd:
        raise InputError(
            f"A conversion to {space} must have no {_option(odd[0])}, but it was given; leave it "
            "out."
        )
    with progress("converting") as report:
        report(0, 4, "reading the checkpoint")
        read = read_source(source)
        scaled: Any = default_choices(chosen, read.architecture)
        about = About(
            choices=dataclasses.replace(scaled, **changed),
            licences={"weights": licence},
            provenance={"source": source_name or read.name},
        )
        lines = chain.from_iterable(read_lines(path) for path in text)
        convert_source(read, out, text=lines, about=about, progress=report)
    made = read_config(out).space
    say(f"{escape(str(out))}: {made.size:.3g} sub-networks of {made.source.summary()}")
    result({"supernet": str(out), "size": made.size}, as_json=json)


def _choices(space: str) -> type[Choices]:
    found = {str(name): choices for name, choices in CHOICES.items()}.get(space)
    if found is None:
        known = ", ".join(CHOICES)
        raise InputError(f"A space must be one of {known}, but got {space!r}; choose one of them.")
    return found


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")
