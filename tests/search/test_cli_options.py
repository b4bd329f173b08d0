"""Options whose text becomes values."""

from __future__ import annotations

from devices import describe
from fleetfit import Target
from search.cli.options import targets_of


def test_a_target_named_twice_comes_once_in_the_order_given() -> None:
    names = ["onnxruntime-bf16", "onnxruntime-fp32", "onnxruntime-bf16-2t", "onnxruntime-fp32"]
    assert targets_of(names, describe(), 2) == (
        Target(runtime="onnxruntime", precision="bf16", threads=2),
        Target(runtime="onnxruntime", precision="fp32", threads=2),
    )
