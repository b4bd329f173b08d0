"""The verb ``run``: use a bundle."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from fleetfit import InputError, to_json
from search.cli.console import result, say
from search.cli.options import AsJson

if TYPE_CHECKING:
    from exporters import LoadedBundle

__all__ = ["run"]

_SHOWN = 200  # characters of a text that are shown again


def run(
    bundle: Annotated[Path, typer.Argument(help="Directory that export wrote.")],
    text: Annotated[list[str], typer.Argument(help="One or more texts, or questions.")],
    pair: Annotated[
        list[str] | None,
        typer.Option(
            help="The second text, for a model of pairs, or the context of a question; repeat it, "
            "one for each text."
        ),
    ] = None,
    top: Annotated[int, typer.Option(min=1, help="Labels to show per text.")] = 3,
    json: AsJson = False,
) -> None:
    """Load a bundle and run it on texts."""
    from exporters import load_bundle

    loaded = load_bundle(bundle)
    head = loaded.manifest.architecture.head.kind
    if head not in ("classification", "span"):
        use = "embed" if head == "embedding" else "session"
        raise InputError(
            "run must be given a bundle with a classification or span head, but this one has "
            f"{head}; use load_bundle(path).{use} in Python."
        )
    if (head == "span" or loaded.manifest.pairs) and not pair:
        what = "context of each question" if head == "span" else "second text of each pair"
        raise InputError(f"run must be given the {what}, but it is not; add --pair.")
    answers, shown = _answers(loaded, text, pair or None, top)
    for one, answer in zip(text, shown, strict=True):
        say(escape(f"{one if len(one) <= _SHOWN else one[: _SHOWN - 3] + '...'} -> {answer}"))
    result({"answers": answers}, as_json=json)


def _answers(
    bundle: LoadedBundle, texts: list[str], pairs: list[str] | None, top: int
) -> tuple[list[object], list[str]]:
    """What a bundle says of each text, as JSON data and for people."""
    if bundle.manifest.architecture.head.kind == "span":
        answers = bundle.answer(texts, pairs or [])
        return [to_json(one) for one in answers], [f"{a.text} ({a.score:.1f})" for a in answers]
    if not bundle.manifest.labels:
        numbers = bundle.numbers(texts, pairs)
        return list(numbers), [f"{number:.3f}" for number in numbers]
    found = [dict(list(one.items())[:top]) for one in bundle.predict(texts, pairs)]
    shown = [", ".join(f"{label} {share:.1%}" for label, share in one.items()) for one in found]
    return list(found), shown
