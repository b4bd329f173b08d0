"""Which workloads the options name: every batch with every length, under one law of padding."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from fleetfit import InputError, Workload
from fleetfit.files import read_text
from search.cli.options import refuse_alone

__all__ = ["Batch", "Batches", "Length", "LengthsOf", "SeqLen", "SeqLens", "workloads_of"]

Batch = Annotated[int, typer.Option(min=1, help="Sequences at once.")]
SeqLen = Annotated[int, typer.Option(min=1, help="Tokens per sequence, padding included.")]
Batches = Annotated[
    str, typer.Option("--batch", help="Sequences at once; with commas several, as in 1,8.")
]
SeqLens = Annotated[
    str,
    typer.Option(
        "--seq-len",
        help="Tokens per sequence, padding included; with commas several, as in 32,128.",
    ),
]
Length = Annotated[
    int | None,
    typer.Option(help="Real tokens of every sequence; the rest is padding. Default: no padding."),
]
LengthsOf = Annotated[
    Path | None,
    typer.Option(
        help="Text whose lengths, in tokens of the supernet, the sequences have before padding: "
        "plain, .xz, .gz; or a CSV/TSV."
    ),
]


def workloads_of(
    supernet: Path,
    batches: Sequence[int],
    seq_lens: Sequence[int],
    *,
    length: int | None,
    lengths_of: Path | None,
    text_column: str | None,
) -> tuple[Workload, ...]:
    """Every batch with every length, each once; raises InputError for what ``supernet`` cannot run.

    ``lengths_of`` is read with the supernet's tokenizer, each text cut as in production.
    """
    from supernet.spaces import read_config

    if length is not None and lengths_of is not None:
        raise InputError(
            "Either --length or --lengths-of must be given, but got both; leave one out."
        )
    if lengths_of is None:
        refuse_alone("--lengths-of", text_column=text_column)
    positions = read_config(supernet).source.embedding.max_positions
    longest = max(seq_lens)
    if longest > positions:
        raise InputError(
            f"--seq-len must be at most {positions} for {supernet}, but got {longest}."
        )
    laws: dict[int, tuple[int, ...]] = dict.fromkeys(seq_lens, ())
    if length is not None:
        laws = {seq_len: () if length == seq_len else (length,) for seq_len in seq_lens}
    if lengths_of is not None:
        laws = _laws(supernet, seq_lens, lengths_of, text_column or "text")
    return tuple(
        Workload(batch=batch, seq_len=seq_len, lengths=law)
        for batch in dict.fromkeys(batches)
        for seq_len, law in laws.items()
    )


def _laws(
    supernet: Path, seq_lens: Sequence[int], text: Path, column: str
) -> dict[int, tuple[int, ...]]:
    """``Workload.lengths`` by sequence length."""
    from exporters import length_law, token_lengths
    from supernet.columns import read_texts

    tokenizer = read_text(supernet / "tokenizer.json", "A tokenizer")
    lengths = token_lengths(read_texts(text, column), tokenizer, max_length=max(seq_lens))
    return {seq_len: length_law(lengths, seq_len=seq_len) for seq_len in seq_lens}
