"""The bytes of a model with large weights, written with one copy of them.

Protobuf's own serialiser grows its buffer over the weights several times, which took most of an
export. Here it writes everything but the weights; the wire format of the rest is a tag, a length
and the raw bytes (protobuf.dev/programming-guides/encoding).
"""

from __future__ import annotations

from typing import Any

import onnx

__all__ = ["model_bytes"]


def model_bytes(model: onnx.ModelProto) -> bytes:
    """The file of a model; the same model gives the same bytes every time."""
    graph = [_all_but(model.graph, "initializer").SerializeToString(deterministic=True)]
    for tensor in model.graph.initializer:
        raw = tensor.raw_data
        head = _all_but(tensor, "raw_data").SerializeToString(deterministic=True)
        front = head + _field(tensor, "raw_data", len(raw))
        graph += [_field(model.graph, "initializer", len(front) + len(raw)), front, raw]
    rest = _all_but(model, "graph").SerializeToString(deterministic=True)
    return b"".join([rest, _field(model, "graph", sum(map(len, graph))), *graph])


def _all_but(message: Any, name: str) -> Any:
    """A copy of a protobuf message without one of its fields, which is not touched."""
    copy = type(message)()
    for field, value in message.ListFields():
        if field.name == name:
            continue
        if not field.is_repeated and field.message_type is None:
            setattr(copy, field.name, value)
        elif field.is_repeated:
            getattr(copy, field.name).extend(value)
        else:
            getattr(copy, field.name).CopyFrom(value)
    return copy


def _field(message: Any, name: str, length: int) -> bytes:
    """Tag and length of a length-delimited field."""
    number: int = message.DESCRIPTOR.fields_by_name[name].number
    return _varint(number << 3 | 2) + _varint(length)


def _varint(value: int) -> bytes:
    """Seven bits a byte, the low ones first; the high bit says that more follow."""
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    found.append(value)
    return bytes(found)
