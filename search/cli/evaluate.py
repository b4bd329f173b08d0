"""The verb ``evaluate``: losses of named sub-networks on a text."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from fleetfit import to_json
from search.cli.console import percent, progress, result, say, table
from search.cli.corpus import LOSSES, Texts, special_ids, stream_of, teacher_of
from search.cli.options import AsJson, SupernetPath

__all__ = ["evaluate"]


def evaluate(
    supernet: SupernetPath,
    text: Texts,
    windows: Annotated[int, typer.Option(min=1, help="How many windows of the text.")] = 200,
    seq_len: Annotated[int, typer.Option(min=3, help="Tokens per window.")] = 128,
    wikitext: Annotated[bool, typer.Option(help="Undo WikiText's escapes first.")] = False,
    teacher: Annotated[
        Path | None, typer.Option(help="Supernet whose largest member is the source.")
    ] = None,
    write: Annotated[
        bool, typer.Option("--write", help="Keep the losses in the supernet's config.json.")
    ] = False,
    name: Annotated[
        str | None, typer.Option(help="What the text is called there. Default: its file's name.")
    ] = None,
    json: AsJson = False,
) -> None:
    """Hidden-state and masked-LM loss of the largest, smallest and five named sub-networks."""
    from supernet import checkpoint
    from supernet import evaluate as evaluation
    from supernet.quality import HiddenLoss
    from supernet.quality import windows as cut

    loaded = checkpoint.load(supernet)
    source = None if teacher is None else teacher_of(teacher, loaded)
    batches = cut(stream_of(text, loaded, wikitext=wikitext), count=windows, seq_len=seq_len)
    loss = HiddenLoss(loaded.supernet, batches, teacher=source)
    members = evaluation.named_members(loaded.config.space)
    with progress("evaluating") as report:
        found = evaluation.evaluate(loss, members, special_ids=special_ids(loaded), progress=report)
    rows = [
        (
            e.name,
            e.architecture.summary(),
            f"{e.hidden_loss:.4f}",
            f"{e.masked_lm_loss:.3f}",
            percent(e.masked_lm_accuracy),
        )
        for e in found
    ]
    taken = f"{sum(len(b.input_ids) for b in batches)} windows of {seq_len} tokens"
    columns = ("name", "network", "hidden loss", "masked-LM loss", "accuracy")
    table(taken, columns, rows)
    if write:
        called = name or ", ".join(path.name for path in text)
        losses = "; ".join(f"{row[0]} {row[2]} {row[3]}" for row in rows)
        _write(supernet, f"{called}, {taken}: {LOSSES}", losses)
    figures = {e.name: to_json(e) for e in found}
    result({"text": [str(t) for t in text], "members": figures}, as_json=json)


def _write(supernet: Path, key: str, losses: str) -> None:
    from supernet.checkpoint import write_config
    from supernet.spaces import read_config

    config = read_config(supernet)  # again: it may have changed since the losses were begun
    provenance = config.provenance | {key: losses}
    write_config(supernet, dataclasses.replace(config, provenance=provenance))
    say(f"{escape(str(supernet / 'config.json'))}: losses kept")
