"""ONNX Runtime on a stand-in: the real library, which says that it runs on a GPU."""

from __future__ import annotations

import dataclasses
import sys
import types
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any, Final

import onnx
import pytest

from exporters import Artifact
from exporters.onnxruntime_cuda import OnnxRuntimeCuda
from fleetfit import Precision, Target, Workload

WORKLOAD: Final = Workload(batch=2, seq_len=8)
TARGET: Final = Target(runtime="onnxruntime", provider="cuda")
CUDA, PROCESSOR = "CUDAExecutionProvider", "CPUExecutionProvider"


def built(model: onnx.ModelProto, place: Path, precision: Precision = "fp32") -> Artifact:
    target = dataclasses.replace(TARGET, precision=precision)
    return OnnxRuntimeCuda().build(model, target, WORKLOAD, place)


class FakeSession:
    """One on the processor; ``falls_back`` as the real one does where CUDA does not start."""

    def __init__(self, library: FakeOrt, inner: Any, given: dict[str, str]) -> None:
        self._library, self._inner, self._given = library, inner, given

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def run(self, outputs: Any, inputs: Any) -> Any:
        if self._library.failure is not None:
            raise self._library.failure
        return self._inner.run(outputs, inputs)

    def get_providers(self) -> list[str]:
        return [PROCESSOR] if self._library.falls_back else [CUDA, PROCESSOR]

    def get_provider_options(self) -> dict[str, dict[str, str]]:
        defaults = {"gpu_external_alloc": "0", "gpu_mem_limit": "18446744073709551615"}
        return {CUDA: defaults | self._given | self._library.changed, PROCESSOR: {}}

    def get_provider_graph_assignment_info(self) -> list[Any]:
        nodes = [types.SimpleNamespace(op_type=op) for op in self._library.on_processor]
        if self._library.untold is not None:
            return self._library.untold()
        return [
            types.SimpleNamespace(ep_name=PROCESSOR, get_nodes=lambda: nodes),
            types.SimpleNamespace(
                ep_name=CUDA, get_nodes=lambda: [types.SimpleNamespace(op_type="MatMul")]
            ),
        ]


class FakeOrt(types.ModuleType):
    """The module."""

    def __init__(self, inner: Any) -> None:
        super().__init__("onnxruntime")
        self._inner = inner
        self.falls_back, self.preloaded = False, 0
        self.failure: Exception | None = None
        self.load_failure: Exception | None = None
        self.prints = ""
        self.untold: Any = None
        self.available = [CUDA, PROCESSOR]
        self.changed: dict[str, str] = {}
        self.on_processor = ["Concat", "Shape"]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def get_available_providers(self) -> list[str]:
        return self.available

    def preload_dlls(self) -> None:
        self.preloaded += 1
        print(self.prints, end="")

    def InferenceSession(
        self,
        model: Any,
        *,
        sess_options: Any,
        providers: Any,
        enable_fallback: int,
        provider_options: Any = None,
    ) -> Any:
        assert enable_fallback == 0
        if self.load_failure is not None:
            raise self.load_failure
        inner = self._inner.InferenceSession(model, sess_options, providers=[PROCESSOR])
        if providers == [PROCESSOR]:
            return inner
        assert providers == [CUDA]
        (given,) = provider_options
        assert all(isinstance(v, str) for v in given.values())
        return FakeSession(self, inner, given)


def install_ort(patch: pytest.MonkeyPatch, place: Path) -> FakeOrt:
    """``import onnxruntime`` gives it from now on; its wheel is in ``place``."""
    import onnxruntime

    found = FakeOrt(onnxruntime)
    found.__spec__ = ModuleSpec("onnxruntime", None, is_package=True)
    (place / "capi").mkdir(parents=True)
    (place / "capi" / "libonnxruntime_providers_cuda.so").write_text("")
    places = found.__spec__.submodule_search_locations
    assert places is not None
    places.append(str(place))
    patch.setitem(sys.modules, "onnxruntime", found)
    return found
