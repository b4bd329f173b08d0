"""The verb ``evaluate``: losses of named sub-networks on a text."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fleetfit import to_json
from search.cli.console import percent, progress, result, table
from search.cli.corpus import Texts, largest_of, special_ids, stream_of
from search.cli.options import AsJson, SupernetPath

__all__ = ["evaluate"]


def evaluate(
    supernet: SupernetPath,
    text: Texts,
    windows: Annotated[int, typer.Option(help="How many windows of the text.")] = 200,
    seq_len: Annotated[int, typer.Option(help="Tokens per window.")] = 128,
    wikitext: Annotated[bool, typer.Option(help="Undo WikiText's escapes first.")] = False,
    teacher: Annotated[
        Path | None, typer.Option(help="Supernet whose largest member is the source.")
    ] = None,
    json: AsJson = False,
) -> None:
    """Hidden-state and masked-LM loss of the largest, smallest and five named sub-networks."""
    from supernet import checkpoint
    from supernet import evaluate as evaluation
    from supernet.quality import HiddenLoss
    from supernet.quality import windows as cut

    loaded = checkpoint.load(supernet)
    stream = stream_of(text, loaded, wikitext=wikitext)
    batches = cut(stream, count=windows, seq_len=seq_len)
    source = None if teacher is None else largest_of(checkpoint.load(teacher))
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
    columns = ("name", "network", "hidden loss", "masked-LM loss", "accuracy")
    table(f"{min(windows, stream.windows(seq_len))} windows of {seq_len} tokens", columns, rows)
    losses = {e.name: to_json(e) for e in found}
    result({"text": [str(t) for t in text], "members": losses}, as_json=json)
