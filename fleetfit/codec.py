"""Canonical JSON for frozen dataclasses: one form per value, strict on the way in.

Keys are sorted, there is no white space, tuples are arrays, a float that is a whole number is
written as an integer, and a dataclass that stands in a union carries its class name in ``type``;
one of each union may do without. A field marked ADDED_LATER is left out where it has its default:
values from before there was such a field keep their texts, and with them their ids.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import hashlib
import json
import math
import re
import types
import typing
from collections.abc import Mapping
from typing import Any, Final, TypeVar

from fleetfit.errors import InputError

__all__ = ["ADDED_LATER", "check_literals", "digest", "dumps", "from_json", "loads", "to_json"]

T = TypeVar("T")
_UNIONS = (typing.Union, types.UnionType)
ADDED_LATER: Final[Mapping[str, bool]] = types.MappingProxyType({"added_later": True})
"""Metadata of a field with a default: ``field(default=(), metadata=ADDED_LATER)``."""


def to_json(value: object) -> Any:
    """``value`` as plain JSON data (dict, list, str, int, float, bool, None)."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        data = {
            f.name: to_json(getattr(value, f.name))
            for f in dataclasses.fields(value)
            if not ("added_later" in f.metadata and getattr(value, f.name) == f.default)
        }
        return {"type": type(value).__name__, **data} if _is_tagged(type(value)) else data
    if isinstance(value, dict):
        return {str(k): to_json(v) for k, v in value.items()}
    if isinstance(value, tuple | list):
        return [to_json(v) for v in value]
    if isinstance(value, float):
        if not math.isfinite(value):
            raise InputError(f"A number in JSON must be finite, but got {value}.")
        return int(value) if value.is_integer() else value
    if value is None or isinstance(value, bool | int | str):
        return value
    raise TypeError(f"no JSON form for {type(value).__name__}")


def dumps(value: object) -> str:
    """The canonical JSON text of ``value``; equal values give equal texts."""
    return json.dumps(
        to_json(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )


def digest(value: object) -> str:
    """First 16 hexadecimal digits of the SHA-256 of the canonical JSON text."""
    return hashlib.sha256(dumps(value).encode()).hexdigest()[:16]


def loads(cls: type[T], text: str | bytes) -> T:
    """Read a value of class ``cls``; raises InputError where the text does not fit it."""
    try:
        return from_json(cls, json.loads(text))
    except InputError:
        raise
    except (ValueError, RecursionError) as exc:
        raise InputError(f"A {cls.__name__} must be valid JSON, but got: {exc}.") from exc


def from_json(cls: type[T], data: object) -> T:
    """Build a ``cls`` from plain JSON data; unknown, missing and mistyped fields are errors."""
    return typing.cast(T, _build(cls, data, cls.__name__))


def check_literals(value: Any) -> None:
    """Raise InputError where a field of ``value`` with a closed set holds something else.

    Called from ``__post_init__``: what the type checker promises also holds for input.
    """
    cls: type = type(value)
    for name, options in _literals(cls):
        given = getattr(value, name)
        if given not in options:
            shown = ", ".join(map(repr, options))
            raise InputError(f"{cls.__name__}.{name} must be one of {shown}, but got {given!r}.")


@functools.cache
def _literals(cls: type) -> tuple[tuple[str, tuple[Any, ...]], ...]:
    """Fields that are a Literal or a Literal or None, with what they may hold."""
    found = []
    for name, (kind, _) in _fields(cls).items():
        parts = typing.get_args(kind) if typing.get_origin(kind) in _UNIONS else (kind,)
        if any(typing.get_origin(p) is typing.Literal for p in parts):
            nested = [(None,) if p is type(None) else typing.get_args(p) for p in parts]
            found.append((name, tuple(v for options in nested for v in options)))
    return tuple(found)


def _is_tagged(cls: type) -> bool:
    return bool(getattr(cls, "TAGGED", False))


@functools.cache
def _fields(cls: type) -> dict[str, tuple[Any, bool]]:
    """Name to (type, whether it has a default)."""
    hints = typing.get_type_hints(cls)
    missing = dataclasses.MISSING
    return {
        f.name: (hints[f.name], f.default is not missing or f.default_factory is not missing)
        for f in dataclasses.fields(cls)
    }


def _build(kind: Any, data: object, where: str) -> Any:
    origin = typing.get_origin(kind)
    if dataclasses.is_dataclass(kind):
        return _build_dataclass(typing.cast(type, kind), data, where)
    if origin is typing.Literal:
        return _check(data in typing.get_args(kind), data, where, f"one of {typing.get_args(kind)}")
    if origin in _UNIONS:
        return _build_union(typing.get_args(kind), data, where)
    if origin is tuple:
        return _build_tuple(typing.get_args(kind), data, where)
    if origin is dict:
        _check(isinstance(data, dict), data, where, "an object")
        item = typing.get_args(kind)[1]
        entries = typing.cast("dict[str, Any]", data).items()
        return {_text(k, where): _build(item, v, f"{where}.{k}") for k, v in entries}
    return _build_scalar(kind, data, where)


def _build_scalar(kind: Any, data: object, where: str) -> Any:
    if kind is type(None):
        return _check(data is None, data, where, "null")
    if kind is float:
        number = isinstance(data, int | float) and not isinstance(data, bool)
        return _finite(typing.cast(float, _check(number, data, where, "a number")), where)
    if kind is int:
        whole = isinstance(data, int) and not isinstance(data, bool)
        return _check(whole, data, where, "a whole number")
    if kind is str:
        return _text(data, where)
    return _check(isinstance(data, kind), data, where, f"a {kind.__name__}")


def _text(data: object, where: str) -> str:
    """A string that can be written again: JSON's ``\\ud800`` alone is no character."""
    text = typing.cast(str, _check(isinstance(data, str), data, where, "a str"))
    _check(text.isascii() or not re.search("[\ud800-\udfff]", text), data, where, "valid Unicode")
    return text


def _finite(number: float, where: str) -> float:
    """``number`` as a float; JSON readers accept 1e999, NaN and whole numbers of any length."""
    try:
        value = float(number)
    except OverflowError:
        value = math.inf
    _check(math.isfinite(value), value, where, "a finite number")
    return value


def _build_tuple(args: tuple[Any, ...], data: object, where: str) -> tuple[Any, ...]:
    items = typing.cast("list[Any]", _check(isinstance(data, list), data, where, "an array"))
    if len(args) == 2 and args[1] is Ellipsis:
        return tuple(_build(args[0], v, f"{where}[{i}]") for i, v in enumerate(items))
    _check(len(items) == len(args), data, where, f"an array of {len(args)}")
    pairs = zip(args, items, strict=True)
    return tuple(_build(a, v, f"{where}[{i}]") for i, (a, v) in enumerate(pairs))


def _build_union(args: tuple[Any, ...], data: object, where: str) -> Any:
    if data is None and type(None) in args:
        return None
    rest = [a for a in args if a is not type(None)]
    if len(rest) == 1:
        return _build(rest[0], data, where)
    if isinstance(data, dict):
        named = {a.__name__: a for a in rest if _is_tagged(a)}
        plain = [a for a in rest if not _is_tagged(a) and dataclasses.is_dataclass(a)]
        if "type" not in data and len(plain) == 1:
            return _build(plain[0], data, where)
        chosen = named.get(str(data.get("type")))
        _check(chosen is not None, data.get("type"), f"{where}.type", f"one of {sorted(named)}")
        return _build(chosen, data, where)
    for option in rest:
        try:
            return _build(option, data, where)
        except InputError:
            continue
    return _check(False, data, where, " or ".join(getattr(a, "__name__", str(a)) for a in rest))


def _build_dataclass(cls: type, data: object, where: str) -> Any:
    entries = dict(typing.cast(Any, _check(isinstance(data, dict), data, where, "an object")))
    if _is_tagged(cls):
        _check(entries.pop("type", None) == cls.__name__, data, where, f"a {cls.__name__}")
    fields = _fields(cls)
    for key in entries:
        if key not in fields:
            near = difflib.get_close_matches(str(key), fields, 1)
            hint = f" Perhaps you meant {near[0]!r}?" if near else ""
            raise InputError(f"{where} must have known fields, but got {key!r}.{hint}")
    absent = [n for n, (_, default) in fields.items() if n not in entries and not default]
    if absent:
        raise InputError(f"{where} must have the field {absent[0]!r}, but it is missing.")
    return cls(**{k: _build(fields[k][0], v, f"{where}.{k}") for k, v in entries.items()})


def _check(holds: bool, data: object, where: str, wanted: str) -> object:
    if not holds:
        shown = repr(data)
        raise InputError(f"{where} must be {wanted}, but got {shown[:80]}.")
    return data
