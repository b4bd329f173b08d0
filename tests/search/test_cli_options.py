"""Options whose text becomes values."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from devices import describe
from exporters import RUNTIMES
from fleetfit import QUANTIZED, InputError, RuntimeMissing, SurroundingsError, Target
from search.cli.options import targets_of


def test_a_target_named_twice_comes_once_in_the_order_given() -> None:
    names = ["onnxruntime-int8", "onnxruntime-fp32", "onnxruntime-int8-2t", "onnxruntime-fp32"]
    assert targets_of(names, describe(), 2) == (
        Target(runtime="onnxruntime", precision="int8", threads=2),
        Target(runtime="onnxruntime", precision="fp32", threads=2),
    )


def test_shapes_are_fixed_by_a_suffix() -> None:
    (found,) = targets_of(["onnxruntime-fp32-2t-fixed"], describe(), 2)
    assert found == Target(runtime="onnxruntime", threads=2, shapes="fixed")
    assert targets_of([str(found)], describe(), 2) == (found,)


def test_a_name_as_tables_print_it_brings_its_threads() -> None:
    (found,) = targets_of(["onnxruntime-int8_dynamic-3t"], describe(), None)
    assert (found.precision, found.threads) == ("int8_dynamic", 3)
    with pytest.raises(InputError, match=r"those of --threads, 2, but got 'onnxruntime-fp32-3t'"):
        targets_of(["onnxruntime-fp32-3t"], describe(), 2)


def test_int8_is_chosen_by_name_alone() -> None:
    assert {t.precision for t in targets_of(None, describe(), 1)}.isdisjoint(QUANTIZED)
    (found,) = targets_of(["onnxruntime-int8_dynamic"], describe(), 1)
    assert found.precision == "int8_dynamic"


GPU_TARGETS = {
    "tensorrt-fp16": (
        Target(runtime="tensorrt", provider="cuda", precision="fp16", threads=2),
        r"pip install 'fleetfit\[tensorrt\]' --extra-index-url https://pypi\.nvidia\.com",
    ),
    "onnxruntime-cuda-tf32": (
        Target(runtime="onnxruntime", provider="cuda", precision="tf32", threads=2),
        r"pip install 'fleetfit\[cuda\]', pip uninstall onnxruntime, then pip install --force",
    ),
}


@pytest.mark.parametrize("name", GPU_TARGETS)
def test_targets_for_gpus_need_their_library_and_a_gpu(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted, install = GPU_TARGETS[name]
    adapter = type(RUNTIMES[name.rpartition("-")[0]])
    bare = dataclasses.replace(describe(), gpus=())
    if not adapter().available():
        with pytest.raises(RuntimeMissing, match=install):
            targets_of([name], bare, 2)
    monkeypatch.setattr(adapter, "available", lambda self: True)
    with pytest.raises(SurroundingsError, match="NVIDIA GPU, but none is seen"):
        targets_of([name], bare, 2)
    able = dataclasses.replace(bare, gpus=("NVIDIA L4, 22 GiB, compute capability 8.9",))
    assert targets_of([name, f"{name}-2t"], able, 2) == (wanted,)


@pytest.mark.parametrize(
    "options",
    [
        {"shapes": "fixed", "cuda_graph": True},
        {"compatible": "version"},
        {"shapes": "fixed", "compatible": "hardware", "cuda_graph": True},
    ],
    ids=str,
)
def test_targets_for_gpus_are_written_as_tables_print_them(
    options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(RUNTIMES["tensorrt"]), "available", lambda self: True)
    able = dataclasses.replace(describe(), gpus=("NVIDIA L4, compute capability 8.9",))
    target = Target(runtime="tensorrt", provider="cuda", precision="fp16", threads=2, **options)
    assert targets_of([str(target)], able, 2) == (target,)


@pytest.mark.parametrize("shapes", ["dynamic", "fixed"])
def test_spinning_is_written_as_tables_print_it(shapes: Any) -> None:
    target = Target(runtime="onnxruntime", threads=2, spinning=True, shapes=shapes)
    assert targets_of([str(target)], describe(), 2) == (target,)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("onnxruntime-fp32-graph", "-graph must come with a target of tensorrt"),
        ("onnxruntime-fp32-fixed-version", "-version must come with a target of tensorrt"),
        ("openvino-fp32-hardware-graph", "-hardware must come with a target of tensorrt"),
        ("onnxruntime-cuda-fp16-version", "-version must come with a target of tensorrt"),
        ("openvino-fp32-spin", "-spin must come with a target of onnxruntime"),
        ("tensorrt-fp16-spin", "-spin must come with a target of onnxruntime"),
        ("tensorrt-fp16-graph", "-graph must come with -fixed"),
        ("tensorrt-fp16-hardware-graph", "-graph must come with -fixed"),
    ],
)
def test_suffixes_of_other_runtimes_are_refused(name: str, said: str) -> None:
    with pytest.raises(InputError, match=f"^{said}, but got "):
        targets_of([name], describe(), 2)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (
            "onnxruntime-bf16",
            "onnxruntime on cpu must have one of the precisions fp32, int8, ",
        ),
        ("openvino-tf32", "openvino on cpu must have one of the precisions fp32, bf16, fp16"),
        ("onnxruntime-cuda-int8", "onnxruntime on cuda must have one of the precisions fp32, tf32"),
        ("onnxruntime-fp32-spin-fixed", "must read RUNTIME-PRECISION .* in this order, but got"),
    ],
)
def test_precisions_and_orders_that_there_are_not_are_refused(name: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        targets_of([name], describe(), 2)
