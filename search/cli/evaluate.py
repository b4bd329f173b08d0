"""The verb ``evaluate``: losses of sub-networks on a text."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast, get_args

import typer
from rich.markup import escape

from fleetfit import InputError, Precision, to_json
from search.cached import MemoryQualities
from search.cli.architectures import chosen_members
from search.cli.console import percent, progress, result, say, table
from search.cli.corpus import LOSSES, Texts, special_ids, stream_of, teacher_of
from search.cli.options import AsJson, StoreUrl, SupernetPath
from search.evaluation import CachedMeasure, Scored, evaluate_members

if TYPE_CHECKING:
    from supernet.checkpoint import Checkpoint
    from supernet.forward import Batch
    from supernet.measure import Figure, Measure

__all__ = ["evaluate"]

_MANY = 20  # more rows than these are sorted


def evaluate(
    supernet: SupernetPath,
    text: Texts,
    architecture: Annotated[
        list[str] | None,
        typer.Option(
            help="largest, smallest, another named one, or a JSON file of one architecture (as "
            "verify writes: winner.json), a list or one a line; repeat it. Default: all named."
        ),
    ] = None,
    precision: Annotated[str, typer.Option(help="fp32 or bf16, by autocast.")] = "fp32",
    windows: Annotated[int, typer.Option(min=1, help="How many windows of the text.")] = 200,
    seq_len: Annotated[int, typer.Option(min=3, help="Tokens per window.")] = 128,
    batch_size: Annotated[
        int | None, typer.Option(min=1, help="Windows at once; does not change what is found.")
    ] = None,
    wikitext: Annotated[bool, typer.Option(help="Undo WikiText's escapes first.")] = False,
    teacher: Annotated[
        Path | None, typer.Option(help="Supernet whose largest member is the source.")
    ] = None,
    store: StoreUrl = "fleetfit.db",
    no_cache: Annotated[
        bool, typer.Option("--no-cache", help="Neither look into the store nor keep anything.")
    ] = False,
    write: Annotated[
        bool, typer.Option("--write", help="Keep the losses in the supernet's config.json.")
    ] = False,
    name: Annotated[
        str | None, typer.Option(help="What the text is called there. Default: its file's name.")
    ] = None,
    json: AsJson = False,
) -> None:
    """Hidden-state and masked-LM loss of sub-networks on a text.

    Every figure is kept in the store by checkpoint, architecture, precision and text, so a second
    or interrupted run evaluates only what is new. More than 20 networks are sorted, best first.
    """
    from profiler import Store
    from supernet import checkpoint
    from supernet.evaluate import named_members
    from supernet.quality import windows as cut

    exact = _precision(precision)
    loaded = checkpoint.load(supernet)
    space = loaded.config.space
    members = named_members(space)
    if architecture:
        members = chosen_members(architecture, space, members)
    batches = cut(stream_of(text, loaded, wikitext=wikitext), count=windows, seq_len=seq_len)
    measures = _measures(loaded, batches, teacher, batch_size)
    kept = MemoryQualities() if no_cache else Store(store)
    cached = [CachedMeasure(m, store=kept, checkpoint=loaded.sha256) for m in measures]
    with progress("evaluating") as report:
        found = evaluate_members(cached, members, exact, progress=report)
    figures = [f for m in measures for f in m.figures]
    count = sum(len(b.input_ids) for b in batches)
    taken = f"{count} windows of {seq_len} tokens"
    _show(found, figures, f"{taken}, {exact}")
    reused = sum(s.cached for s in found)
    if not no_cache:
        say(f"{reused} of {len(found)} networks came from the cache in {escape(store)}.")
    if write:
        called = name or ", ".join(path.name for path in text)
        in_bf16 = "" if exact == "fp32" else f", {exact}"
        _write(supernet, f"{called}, {taken}{in_bf16}: {LOSSES}", _losses(found))
    result(
        {
            "text": [str(t) for t in text],
            "windows": count,
            "seq_len": seq_len,
            "precision": exact,
            "units": {f.name: f.unit for f in figures},
            "cached": reused,
            "members": {s.name: _as_json(s) for s in found},
        },
        as_json=json,
    )


def _measures(
    loaded: Checkpoint, batches: Sequence[Batch], teacher: Path | None, size: int | None
) -> tuple[Measure, ...]:
    """What is found of every sub-network on a text."""
    from supernet.evaluate import HiddenStates
    from supernet.masked_lm import MaskedLm
    from supernet.quality import BATCH_SIZE

    net, rows = loaded.supernet, size or BATCH_SIZE
    source = None if teacher is None else teacher_of(teacher, loaded)
    return (
        HiddenStates(net, batches, teacher=source, batch_size=rows),
        MaskedLm(net, batches, special_ids=special_ids(loaded), batch_size=rows),
    )


def _precision(text: str) -> Precision:
    if text not in get_args(Precision):
        known = " or ".join(get_args(Precision))
        raise InputError(f"--precision must be {known}, but got {text!r}.")
    return cast(Precision, text)


def _show(found: Sequence[Scored], figures: Sequence[Figure], title: str) -> None:
    """The figures in a table; of many networks the best by the first figure on top."""
    rows = list(found)
    if len(rows) > _MANY:
        sign = 1 if figures[0].lower_is_better else -1
        rows.sort(key=lambda s: sign * s.figures[figures[0].name])
        title = f"{title}, best {figures[0].title} first"
    names = [_called(s) for s in rows]
    skip = 0 if any(name for name, _ in names) else 1  # no column without a name in it
    values = [[_shown(s.figures[f.name], f) for f in figures] for s in rows]
    cells = [(*called[skip:], *row) for called, row in zip(names, values, strict=True)]
    heads = [f"{f.title} ({f.unit})" if f.unit not in ("", "share") else f.title for f in figures]
    table(title, [*("name", "network")[skip:], *heads], cells)


def _called(scored: Scored) -> tuple[str, str]:
    """Name, empty for what has none of its own, and network."""
    summary = scored.architecture.summary()
    return ("", scored.name) if scored.name.startswith(summary) else (scored.name, summary)


def _shown(value: float, figure: Figure) -> str:
    return percent(value) if figure.unit == "share" else f"{value:.4f}"


def _as_json(scored: Scored) -> dict[str, object]:
    body = {"name": scored.name, "architecture": to_json(scored.architecture)}
    return body | {name: to_json(value) for name, value in scored.figures.items()}


def _losses(found: Sequence[Scored]) -> str:
    """What provenance says of each network: its hidden-state loss and its masked-LM loss."""
    return "; ".join(
        f"{s.name} {s.figures['hidden_loss']:.4f} {s.figures['masked_lm_loss']:.3f}" for s in found
    )


def _write(supernet: Path, key: str, losses: str) -> None:
    from supernet.checkpoint import write_config
    from supernet.spaces import read_config

    config = read_config(supernet)  # again: it may have changed since the losses were begun
    provenance = config.provenance | {key: losses}
    write_config(supernet, dataclasses.replace(config, provenance=provenance))
    say(f"{escape(str(supernet / 'config.json'))}: losses kept")
