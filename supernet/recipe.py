"""A training run's settings as a TOML file: read strictly, written whole."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from fleetfit.codec import from_json, to_json
from fleetfit.errors import InputError
from fleetfit.files import read_text
from supernet.pretrain_config import PretrainConfig

__all__ = ["read_recipe", "recipe_text", "with_options"]


def read_recipe(path: Path, defaults: PretrainConfig) -> PretrainConfig:
    """The settings of a recipe; ``defaults`` fill in what it does not say.

    Its keys are the fields of PretrainConfig, with tables ``[sampling]`` and ``[losses]``. Raises
    InputError for a file that is no TOML, an unknown key and a value that cannot be.
    """
    text = read_text(path, "A recipe")
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as exc:
        raise InputError(f"The recipe {path} must be TOML, but is not: {exc}.") from exc
    try:
        return from_json(PretrainConfig, _merged(to_json(defaults), data))
    except InputError as exc:
        said = str(exc).replace("PretrainConfig.", "")
        raise InputError(f"{path} must be a recipe of pretraining: {said}") from exc


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """``above`` over ``below``, tables key by key."""
    tables = {n for n in above if isinstance(above[n], dict) and isinstance(below.get(n), dict)}
    return {**below, **above, **{n: {**below[n], **above[n]} for n in tables}}


def with_options(config: PretrainConfig, options: Mapping[str, Any]) -> PretrainConfig:
    """``config`` with other values; a name is a field or ``table.field``, None keeps what is."""
    given = {name: value for name, value in options.items() if value is not None}
    changes = {name: value for name, value in given.items() if "." not in name}
    for table in ("sampling", "losses"):
        start = f"{table}."
        inner = {n.removeprefix(start): v for n, v in given.items() if n.startswith(start)}
        changes[table] = replace(getattr(config, table), **inner)
    return replace(config, **changes)


def recipe_text(config: PretrainConfig) -> str:
    """A recipe that ``read_recipe`` reads back as ``config``, every field stated."""
    data = to_json(config)
    tables = {name: value for name, value in data.items() if isinstance(value, dict)}
    parts = [_lines({name: value for name, value in data.items() if name not in tables})]
    parts += [f"[{name}]\n{_lines(table)}" for name, table in tables.items()]
    return "\n".join(parts)


def _lines(table: Mapping[str, object]) -> str:
    # numbers, truth values, plain strings and lists of them are the same in JSON and TOML
    return "".join(f"{name} = {json.dumps(value)}\n" for name, value in table.items())
