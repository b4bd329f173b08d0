"""What ONNX Runtime's CUDA adapter makes of failures, of the library and of the GPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx
import pytest
from onnxruntime.capi import onnxruntime_pybind11_state as vendor

import profiler.memory_child
from exporters import make_inputs
from exporters._onnxruntime import open_model
from exporters.onnxruntime_cpu import OnnxRuntimeCpu
from exporters.onnxruntime_cuda import OnnxRuntimeCuda
from fleetfit import (
    Architecture,
    InputError,
    SurroundingsError,
    Target,
)
from tests.exporters.ort_fake import CUDA, TARGET, WORKLOAD, FakeOrt, built


def failure(kind: str, text: str) -> Exception:
    found: Exception = getattr(vendor, kind)(text)
    return found


@pytest.mark.parametrize(
    ("raised", "kind", "said"),
    [
        (failure("EPFail", "CUDA failure 700"), SurroundingsError, "must run .* CUDA failure 700;"),
        (failure("Fail", "CUBLAS failure 13"), SurroundingsError, "CUBLAS failure 13; check"),
        (failure("RuntimeException", "broken"), SurroundingsError, "says: broken; check"),
        (failure("InvalidArgument", "CUDNN failure"), SurroundingsError, "CUDNN failure; check"),
        (failure("InvalidArgument", "an index"), InputError, r"fit the network \(an index\)"),
        (
            failure("RuntimeException", "Failed to allocate memory for requested\nbuffer"),
            SurroundingsError,
            r"Memory must suffice .* on \[2, 8\], but .* requested buffer; free some, or take",
        ),
        (failure("Fail", "CUDA failure 2: out of memory"), SurroundingsError, "Memory must suff"),
    ],
    ids=str,
)
def test_a_run_that_fails_is_not_repeated_on_the_processor(
    ort: FakeOrt,
    model: onnx.ModelProto,
    mixed: Architecture,
    tmp_path: Path,
    raised: Exception,
    kind: Any,
    said: str,
) -> None:
    session = OnnxRuntimeCuda().load(built(model, tmp_path))
    (inputs,) = make_inputs(mixed.embedding, WORKLOAD, seed=0, count=1)
    ort.failure = raised
    for _ in range(2):
        with pytest.raises(kind, match=said):
            session.run(inputs)
    assert session.properties["providers"] == CUDA


class Failing:
    """What is inside the library's session, but it cannot run."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def run(self, *given: Any) -> Any:
        raise vendor.EPFail("CUDA failure 700")


def test_the_installed_library_does_not_repeat_a_run_elsewhere(
    model: onnx.ModelProto, mixed: Architecture, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (inputs,) = make_inputs(mixed.embedding, WORKLOAD, seed=0, count=1)
    options = OnnxRuntimeCpu().options(Target(runtime="onnxruntime"))
    path = built(model, tmp_path).path
    session = open_model(path, options)
    session._session._sess = Failing(session._session._sess)
    with pytest.raises(SurroundingsError, match=r"CPUExecutionProvider must run .* failure 700"):
        session.run(inputs)
    loaded, run = profiler.memory_child.LOADERS["onnxruntime"][1](path, options)
    loaded._sess = Failing(loaded._sess)
    with pytest.raises(vendor.EPFail):
        run(dict(inputs))
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("raised", "kind"),
    [
        (failure("Fail", "CUDA failure 2: out of memory"), SurroundingsError),
        (failure("InvalidArgument", "CUBLAS failure 1"), SurroundingsError),
        (failure("InvalidArgument", "Failed to parse provider option"), SurroundingsError),
        (failure("EPFail", "anything"), SurroundingsError),
        (failure("Fail", "Load model from {path} failed"), InputError),
    ],
    ids=str,
)
def test_a_gpu_that_fails_while_loading_is_not_the_models_fault(
    ort: FakeOrt, model: onnx.ModelProto, tmp_path: Path, raised: Exception, kind: Any
) -> None:
    artifact = built(model, tmp_path / "of CUDA")
    ort.load_failure = type(raised)(str(raised).format(path=artifact.path))
    with pytest.raises(kind, match="must be able to load"):
        OnnxRuntimeCuda().load(artifact)


def test_what_the_library_prints_is_told_in_the_error(
    ort: FakeOrt, model: onnx.ModelProto, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    artifact = built(model, tmp_path)
    ort.prints = "\nFailed to load libcublas.so.12: no such file\nPlease follow\n"
    OnnxRuntimeCuda().load(artifact)
    ort.falls_back = True
    said = r"it does not and says: Failed to load libcublas\.so\.12: no such file; check"
    with pytest.raises(SurroundingsError, match=said):
        OnnxRuntimeCuda().load(artifact)
    _, load = profiler.memory_child.LOADERS["onnxruntime"]
    with pytest.raises(RuntimeError, match="does not start here; Failed to load libcublas"):
        load(artifact.path, OnnxRuntimeCuda().options(TARGET))
    assert capfd.readouterr() == ("", "")
