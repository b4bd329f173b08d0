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


def test_shapes_are_fixed_by_a_suffix() -> None:
    (found,) = targets_of(["onnxruntime-fp32-2t-fixed"], describe(), 2)
    assert found == Target(runtime="onnxruntime", threads=2, shapes="fixed")
    assert targets_of([str(found)], describe(), 2) == (found,)


def test_int8_is_chosen_by_name_alone() -> None:
    assert {t.precision for t in targets_of(None, describe(), 1)} <= {"fp32", "bf16", "fp16"}
    (found,) = targets_of(["onnxruntime-int8_dynamic"], describe(), 1)
    assert found.precision == "int8_dynamic"
