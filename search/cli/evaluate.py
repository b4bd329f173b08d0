"""The verb ``evaluate``: losses of sub-networks on a text, and their metrics of a task."""

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
from search.cli.console import percent, result, say, table
from search.cli.corpus import LOSSES, names_of
from search.cli.evaluation_data import SEQ_LEN, WINDOWS, Data, TextOptions, examples_of
from search.cli.options import AsJson, StoreUrl, SupernetPath, open_store, refuse_alone
from search.cli.task_source import labelled_files
from search.cli.turns import polite_progress
from search.evaluation import CachedMeasure, Scored, evaluate_members

if TYPE_CHECKING:
    from supernet.measure import Figure

__all__ = ["evaluate"]

_MANY = 20  # more rows than these are sorted


def evaluate(
    supernet: SupernetPath,
    text: Annotated[
        list[Path] | None,
        typer.Option(help="UTF-8 text for the losses, plain, .xz or .gz; repeat it."),
    ] = None,
    test: Annotated[
        Path | None,
        typer.Option(help="Labelled examples for the metrics of a supernet that learned a task."),
    ] = None,
    text_column: Annotated[
        str | None, typer.Option(help="Name of the text's column in --test. Default: text.")
    ] = None,
    pair_column: Annotated[
        str | None, typer.Option(help="Name of the second text's column, for pairs of texts.")
    ] = None,
    label_column: Annotated[
        str | None, typer.Option(help="Name of the label's column in --test. Default: label.")
    ] = None,
    task: Annotated[
        str | None, typer.Option(help="GLUE task in whose layout --test is, as in cola.")
    ] = None,
    architecture: Annotated[
        list[str] | None,
        typer.Option(
            help="largest, smallest, another named one, or a JSON file of one architecture (as "
            "verify writes: winner.json), a list or one a line; repeat it. Default: all named."
        ),
    ] = None,
    precision: Annotated[
        str, typer.Option(help="fp32, tf32, bf16, fp16, int8 or int8_dynamic, computed in torch.")
    ] = "fp32",
    windows: Annotated[
        int | None, typer.Option(min=1, help=f"How many windows of the text. Default: {WINDOWS}.")
    ] = None,
    seq_len: Annotated[
        int | None, typer.Option(min=3, help=f"Tokens per window. Default: {SEQ_LEN}.")
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(min=1, help="Windows or examples at once; changes no figure.")
    ] = None,
    wikitext: Annotated[bool, typer.Option(help="Undo WikiText's escapes first.")] = False,
    teacher: Annotated[
        Path | None,
        typer.Option(
            help="Supernet whose largest network the hidden states are compared with. Default: "
            "this one."
        ),
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
    """Hidden-state and masked-LM loss of sub-networks on a text, or their metrics of a task.

    Metrics are of a supernet that has learned a task, its members as they are. Every figure is
    kept in the store by checkpoint, architecture, precision and data, so a second or interrupted
    run evaluates only what is new. More than 20 networks are sorted, best first.
    """
    from supernet import checkpoint
    from supernet.named_members import named_members

    exact = _checked(precision)
    file, _ = labelled_files(
        test=test,
        calibration=None,
        task=task,
        text_column=text_column,
        pair_column=pair_column,
        label_column=label_column,
    )
    windowed = TextOptions(
        paths=text, windows=windows, seq_len=seq_len, wikitext=wikitext, teacher=teacher
    )
    _check_given(bool(text), test is not None, write, name)
    loaded = checkpoint.load(supernet)
    space = loaded.config.space
    members = chosen_members(architecture, space, named_members(space))
    data = []
    if file is not None:
        data.append(examples_of(loaded, file, batch_size))
    if text:
        data.append(windowed.read(loaded, batch_size))
    opened = None if no_cache else open_store(store)
    kept = opened or MemoryQualities()
    measures = [
        CachedMeasure(m, store=kept, checkpoint=loaded.sha256) for d in data for m in d.measures
    ]
    with polite_progress("evaluate", "evaluating") as report:
        found = evaluate_members(measures, members, exact, progress=report)
    figures = [f for m in measures for f in m.figures]
    _show(found, figures, ", ".join([*(d.taken for d in data), exact]))
    if opened is not None:
        _tell_cached(found, opened.name)
    if write and text:
        bf16 = [] if exact == "fp32" else [exact]
        key = ", ".join([name or names_of(text, None), data[-1].taken, *bf16])
        _write(supernet, key, _losses(found))
    given = {"text": [str(t) for t in text or []], "test": test and str(test), "precision": exact}
    result(given | _document(found, figures, data), as_json=json)


def _check_given(text: bool, test: bool, write: bool, name: str | None) -> None:
    """InputError where there is nothing to evaluate on, or nothing to keep."""
    if not text and not test:
        raise InputError("evaluate must have a --text, or the --test of a task, but got neither.")
    if not text:
        refuse_alone("--text", write=write)
    if not write:
        refuse_alone("--write", name=name)


def _checked(precision: str) -> Precision:
    if precision not in get_args(Precision):
        known = " or ".join(get_args(Precision))
        raise InputError(f"--precision must be {known}, but got {precision!r}.")
    return cast(Precision, precision)


def _tell_cached(found: Sequence[Scored], store: str) -> None:
    reused = sum(s.cached for s in found)
    say(f"{reused} of {len(found)} networks came from the cache in {escape(store)}.")


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


def _document(
    found: Sequence[Scored], figures: Sequence[Figure], data: Sequence[Data]
) -> dict[str, object]:
    facts = {key: value for one in data for key, value in one.facts.items()}
    return {
        **facts,
        "units": {f.name: f.unit for f in figures},
        "cached": sum(s.cached for s in found),
        "members": {s.name: _as_json(s) for s in found},
    }


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
    provenance = config.provenance | {f"{key}: {LOSSES}": losses}
    write_config(supernet, dataclasses.replace(config, provenance=provenance))
    say(f"{escape(str(supernet / 'config.json'))}: losses kept")
