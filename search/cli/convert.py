"""The verb ``convert``: a BERT checkpoint becomes a supernet."""

from __future__ import annotations

import dataclasses
from itertools import chain
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from search.cli.console import progress, result, say
from search.cli.corpus import Texts
from search.cli.options import AsJson, numbers_of

__all__ = ["convert"]

Sizes = Annotated[str | None, typer.Option(help="Comma-separated choices; one: not elastic.")]


def convert(
    source: Annotated[Path, typer.Argument(help="Checkpoint directory of model type bert.")],
    out: Annotated[Path, typer.Argument(help="New directory for the supernet.")],
    text: Texts,
    depths: Sizes = None,
    embedding_widths: Sizes = None,
    widths: Sizes = None,
    heads: Sizes = None,
    ffns: Sizes = None,
    licence: Annotated[str, typer.Option(help="Licence of the weights (SPDX).")] = "unknown",
    json: AsJson = False,
) -> None:
    """Turn a BERT checkpoint into a supernet whose largest member equals it.

    The text decides which dimensions, heads and units matter most; a few hundred lines do.
    """
    from supernet.convert import About, read_source
    from supernet.convert import convert as convert_source
    from supernet.spaces import ElasticChoices, read_config
    from supernet.text import read_lines

    choices = ElasticChoices.scaled_to(read_source(source).architecture)
    given = {
        "depths": depths,
        "embedding_widths": embedding_widths,
        "widths": widths,
        "heads": heads,
        "ffns": ffns,
    }
    changed = {
        name: numbers_of(_option(name), value) for name, value in given.items() if value is not None
    }
    choices = dataclasses.replace(choices, **changed)
    with progress("converting"):
        lines = chain.from_iterable(read_lines(path) for path in text)
        about = About(licences={"weights": licence})
        convert_source(source, out, text=lines, choices=choices, about=about)
    space = read_config(out).space
    say(f"{escape(str(out))}: {space.size:.3g} sub-networks of {space.source.summary()}")
    result({"supernet": str(out), "size": space.size}, as_json=json)


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")
