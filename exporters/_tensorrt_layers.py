"""A summary of TensorRT's engine inspector: layers by kind and precision."""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import Any, Final

__all__ = ["layer_counts"]

_TYPES: Final = (
    ("int8", r"int8"),
    ("bf16", r"bf16|bfloat16"),
    ("fp16", r"fp16|half"),
    ("fp32", r"fp32|float"),
    ("int64", r"int64"),
    ("int32", r"int32"),
    ("bool", r"bool"),
)
"""Ours, and TensorRT's words for it, which differ between versions."""


def layer_counts(text: object) -> dict[str, int]:
    """Kind and precision of the output to the number of layers, from the inspector's JSON.

    A kind that is not told is ``other``. Nothing is ever raised, whatever ``text`` is: it is only a
    record.
    """
    try:
        found = json.loads(text) if isinstance(text, str | bytes) else None
    except (ValueError, RecursionError):
        return {}
    layers = found.get("Layers") if isinstance(found, dict) else None
    counts = Counter(_named(layer) for layer in layers) if isinstance(layers, list) else {}
    return dict(sorted(counts.items()))


def _named(layer: Any) -> str:
    if not isinstance(layer, dict):  # only names, where the engine was built without details
        return "other"
    outputs = layer.get("Outputs")
    first = outputs[0] if isinstance(outputs, list) and outputs else {}
    first = first if isinstance(first, dict) else {}
    told = str(first.get("Format/Datatype") or first.get("Datatype")).lower()
    kind = str(layer.get("LayerType") or "other").lower()
    precision = next((name for name, words in _TYPES if re.search(words, told)), "")
    return f"{kind} {precision}".strip()
