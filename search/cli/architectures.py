"""Which sub-networks a verb is about: named ones, or the architectures of a file."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fleetfit import Architecture, Head, InputError, from_json
from fleetfit.files import read_text

if TYPE_CHECKING:
    from supernet.spaces import SearchSpace

__all__ = ["chosen_members", "read_architectures"]

_INK = re.compile(r"\S")


def read_architectures(path: Path) -> list[tuple[str, Architecture]]:
    """Every architecture of a JSON file with the place where it stands there, for messages.

    The file holds one, a list of them, or one after another (JSON lines). Raises InputError that
    names the line of the first that is none.
    """
    text = read_text(path, "An --architecture that is no known name")
    found = []
    for where, value in _entries(path, text):
        try:
            found.append((where, from_json(Architecture, value)))
        except InputError as exc:
            raise InputError(f"{where} must hold an architecture: {exc}") from exc
    if not found:
        raise InputError(f"{path} must hold an architecture, but holds none.")
    return found


def _entries(path: Path, text: str) -> Iterator[tuple[str, object]]:
    """Every JSON value of ``text``, lists taken apart, with the line that it begins in."""
    decoder = json.JSONDecoder()
    place, line = 0, 1
    while found := _INK.search(text, place):
        start = found.start()
        line += text.count("\n", place, start)
        where = f"{path}, line {line}"
        try:
            value, place = decoder.raw_decode(text, start)
        except (ValueError, RecursionError) as exc:
            raise InputError(f"{where}, must hold an architecture as JSON, but: {exc}.") from exc
        line += text.count("\n", start, place)
        if isinstance(value, list):
            yield from ((f"{where}, entry {i}", entry) for i, entry in enumerate(value, 1))
        else:
            yield where, value


def chosen_members(
    asked: Sequence[str] | None, space: SearchSpace, named: Mapping[str, Architecture]
) -> dict[str, Architecture]:
    """Name to architecture of what was ``asked``, each once and without a head; else all named.

    Each of ``asked`` is a name in ``named`` or a JSON file. What is among ``named`` keeps that
    name; others are called by their summary, and where two share one, by their id too. Raises
    InputError where an architecture is not of ``space``.
    """
    if not asked:
        return dict(named)
    found: dict[str, Architecture] = {}
    for text in asked:
        if text in named:
            found[named[text].id] = named[text]
        elif not Path(text).exists():
            raise InputError(
                f"--architecture must be one of {', '.join(named)}, or a JSON file as verify "
                f"writes (winner.json), but got {text!r}."
            )
        else:
            found |= {arch.id: arch for arch in _of_space(Path(text), space)}
    names = {arch.id: name for name, arch in reversed(list(named.items()))}
    others = {i: arch.summary() for i, arch in found.items() if i not in names}
    alike = Counter(others.values())
    names |= {i: text if alike[text] == 1 else f"{text} {i}" for i, text in others.items()}
    return {names[arch.id]: arch for arch in found.values()}


def _of_space(path: Path, space: SearchSpace) -> Iterator[Architecture]:
    for where, arch in read_architectures(path):
        body = arch.with_head(Head())
        try:
            space.genome(body)
        except InputError as exc:
            raise InputError(f"{where} must hold a member of this supernet: {exc}") from exc
        yield body
