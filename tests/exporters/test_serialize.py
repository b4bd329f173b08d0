from __future__ import annotations

import onnx
import pytest

from exporters import emit, model_bytes, random_weights
from exporters.serialize import _varint
from fleetfit import Architecture, Head


@pytest.mark.parametrize("kind", ["none", "masked_lm"])
def test_protobuf_reads_the_same_model(tiny_source: Architecture, kind: str) -> None:
    arch = tiny_source.with_head(Head(kind=kind))  # type: ignore[arg-type]
    model = emit(arch, random_weights(arch))
    assert onnx.load_model_from_string(model_bytes(model)) == model


def test_no_byte_more_than_protobuf_writes(tiny_source: Architecture) -> None:
    model = emit(tiny_source, random_weights(tiny_source))
    assert len(model_bytes(model)) == len(model.SerializeToString())


@pytest.mark.parametrize(
    ("value", "written"),
    [(0, "00"), (127, "7f"), (128, "8001"), (300, "ac02"), (2**32, "8080808010")],
)
def test_varints_by_the_encoding_guide(value: int, written: str) -> None:
    assert _varint(value).hex() == written
