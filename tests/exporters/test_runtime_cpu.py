"""What ONNX Runtime and OpenVINO do on processors beyond the contract of all runtimes."""

from __future__ import annotations

import dataclasses
import importlib.util
from pathlib import Path

import numpy as np
import onnx
import pytest

from exporters import (
    make_inputs,
    plain_session,
    runtime,
)
from fleetfit import (
    Architecture,
    DeviceInfo,
    InputError,
    SurroundingsError,
    Target,
    Workload,
)

WORKLOAD = Workload(batch=2, seq_len=8)


@pytest.mark.parametrize("spinning", [True, False])
def test_onnxruntime_reads_back_its_options(
    model: onnx.ModelProto, tmp_path: Path, spinning: bool
) -> None:
    chosen = runtime("onnxruntime")
    target = Target(runtime="onnxruntime", threads=2, spinning=spinning)
    found = chosen.load(chosen.build(model, target, WORKLOAD, tmp_path)).properties
    assert found == {
        "enable_cpu_mem_arena": "True",
        "execution_mode": "ORT_SEQUENTIAL",
        "graph_optimization_level": "ORT_ENABLE_ALL",
        "inter_op_num_threads": "1",
        "intra_op_num_threads": "2",
        "providers": "CPUExecutionProvider",
        "session.intra_op.allow_spinning": "1" if spinning else "0",
        "precision": "fp32",
    }


def test_the_plain_session_computes_without_optimisations(
    model: onnx.ModelProto, mixed: Architecture, tmp_path: Path
) -> None:
    chosen, target = runtime("onnxruntime"), Target(runtime="onnxruntime")
    artifact = chosen.build(model, target, WORKLOAD, tmp_path)
    plain, optimised = plain_session(artifact.path), chosen.load(artifact)
    assert plain.properties["graph_optimization_level"] == "ORT_DISABLE_ALL"
    (inputs,) = make_inputs(mixed.embedding, WORKLOAD, seed=0, count=1)
    for name, values in optimised.run(inputs).items():
        np.testing.assert_allclose(plain.run(inputs)[name], values, atol=1e-5)
    with pytest.raises(InputError, match="must be able to load"):
        plain_session(str(tmp_path / "absent.onnx"))


def test_every_vendor_exception_of_onnxruntime_is_mapped() -> None:
    from onnxruntime.capi import onnxruntime_pybind11_state as vendor

    from exporters._onnxruntime import _ERRORS

    kinds = [v for v in vars(vendor).values() if isinstance(v, type) and issubclass(v, Exception)]
    assert {k.__name__ for k in kinds} <= _ERRORS.keys()


def test_onnxruntime_refuses_bf16(model: onnx.ModelProto, tmp_path: Path) -> None:
    target = Target(runtime="onnxruntime", precision="bf16")
    with pytest.raises(InputError, match="fp32"):
        runtime("onnxruntime").build(model, target, WORKLOAD, tmp_path)


needs_openvino = pytest.mark.skipif(
    importlib.util.find_spec("openvino") is None, reason="needs openvino"
)


@needs_openvino
def test_openvino_reads_back_its_options(model: onnx.ModelProto, tmp_path: Path) -> None:
    chosen = runtime("openvino")
    target = Target(runtime="openvino", threads=2)
    found = chosen.load(chosen.build(model, target, WORKLOAD, tmp_path)).properties
    assert found["INFERENCE_PRECISION_HINT"] == "f32"
    assert found["INFERENCE_NUM_THREADS"] == "2"
    assert found["NUM_STREAMS"] == "1"
    assert found["PERFORMANCE_HINT"] == "LATENCY"
    assert found["ENABLE_CPU_PINNING"] == "NO"
    assert found["EXECUTION_DEVICES"] == "CPU"


@needs_openvino
def test_openvino_runs_bf16_only_where_the_processor_has_it(
    model: onnx.ModelProto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from exporters import openvino_cpu

    chosen = runtime("openvino")
    target = Target(runtime="openvino", precision="bf16")
    artifact = chosen.build(model, target, WORKLOAD, tmp_path)
    if "BF16" in openvino_cpu.capabilities():
        found = chosen.load(artifact).properties
        assert found["INFERENCE_PRECISION_HINT"] == "bf16"
    monkeypatch.setattr(openvino_cpu, "capabilities", lambda: ("FP32",))
    with pytest.raises(SurroundingsError, match="bf16"):
        chosen.load(artifact)


@needs_openvino
def test_openvino_offers_bf16_by_the_flags_of_the_device(device: DeviceInfo) -> None:
    chosen = runtime("openvino")
    last = ["int8"] if importlib.util.find_spec("nncf") else []
    for flags, native in ((), []), (("avx512_bf16",), ["bf16"]), (("avx512_fp16",), ["fp16"]):
        able = dataclasses.replace(device, cpu_flags=flags)
        found = [t.precision for t in chosen.targets(able, threads=1)]
        assert found == ["fp32", *native, *last]


@needs_openvino
def test_openvino_refuses_spinning(model: onnx.ModelProto, tmp_path: Path) -> None:
    target = Target(runtime="openvino", spinning=True)
    with pytest.raises(InputError, match="spin"):
        runtime("openvino").build(model, target, WORKLOAD, tmp_path)
