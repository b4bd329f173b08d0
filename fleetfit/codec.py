"""Canonical JSON for frozen dataclasses: one form per value, strict on the way in.

Keys are sorted, there is no white space, tuples are arrays, a float that is a whole number is
written as an integer, and a dataclass that stands in a union carries its class name in ``type``.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import hashlib
import json
import math
import types
import typing
from typing import Any, TypeVar

from fleetfit.errors import InputError

__all__ = ["digest", "dumps", "from_json", "loads", "to_json"]

T = TypeVar("T")
_UNIONS = (typing.Union, types.UnionType)


def to_json(value: object) -> Any:
    """``value`` as plain JSON data (dict, list, str, int, float, bool, None)."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        data = {f.name: to_json(getattr(value, f.name)) for f in dataclasses.fields(value)}
        return {"type": type(value).__name__, **data} if _is_tagged(type(value)) else data
    if isinstance(value, dict):
        return {str(k): to_json(v) for k, v in value.items()}
    if isinstance(value, tuple | list):
        return [to_json(v) for v in value]
    if isinstance(value, float):
        if not math.isfinite(value):
            raise InputError(f"A number in JSON must be finite, but got {value}.")
        return int(value) if value.is_integer() and abs(value) < 2**53 else value
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
        data = json.loads(text)
    except (ValueError, RecursionError) as exc:
        raise InputError(f"A {cls.__name__} must be valid JSON, but got: {exc}.") from exc
    return from_json(cls, data)


def from_json(cls: type[T], data: object) -> T:
    """Build a ``cls`` from plain JSON data; unknown, missing and mistyped fields are errors."""
    return typing.cast(T, _build(cls, data, cls.__name__))


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
        return {k: _build(item, v, f"{where}.{k}") for k, v in typing.cast(Any, data).items()}
    return _build_scalar(kind, data, where)


def _build_scalar(kind: Any, data: object, where: str) -> Any:
    if kind is type(None):
        return _check(data is None, data, where, "null")
    if kind is float:
        number = isinstance(data, int | float) and not isinstance(data, bool)
        return float(typing.cast(float, _check(number, data, where, "a number")))
    if kind is int:
        whole = isinstance(data, int) and not isinstance(data, bool)
        return _check(whole, data, where, "a whole number")
    return _check(isinstance(data, kind), data, where, f"a {kind.__name__}")


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
        named = {a.__name__: a for a in rest if isinstance(a, type)}
        chosen = named.get(str(data.get("type")))
        _check(chosen is not None, data.get("type"), f"{where}.type", f"one of {sorted(named)}")
        return _build(chosen, data, where)
    for option in rest:
        try:
            return _build(option, data, where)
        except InputError:
            continue
    return _check(False, data, where, " or ".join(str(a) for a in rest))


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
