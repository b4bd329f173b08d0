"""A loaded engine as a Session: a stream of its own, page-locked buffers, an optional graph."""

from __future__ import annotations

import threading
from typing import Final

import numpy as np

from exporters._cuda import CudaGraph, Gpu, Pair, Stream, Timer
from exporters._tensorrt_run import Engine
from exporters.engine_record import EngineRecord
from exporters.input_rule import InputRule, wrong_inputs
from exporters.quantize import PRECISION
from exporters.runtime import Inputs, Outputs, Session
from fleetfit import InputError, Target

__all__ = ["TensorRtSession"]

_FLOAT: Final = np.dtype(np.float32)
_INT: Final = np.dtype(np.int64)


class TensorRtSession(Session):
    """One run at a time: others wait. ``device_s`` is of the engine alone, without copies."""

    def __init__(
        self, engine: Engine, record: EngineRecord, path: str, *, target: Target, gpu: Gpu
    ) -> None:
        """Of an engine that has been loaded; raises InputError where it was not emitted here."""
        self._engine, self._record, self._target, self._gpu = engine, record, target, gpu
        self._rule = InputRule.of(path, engine.inputs, record.sizes)
        types = {name: engine.dtype(name) for name in (*engine.inputs, *engine.outputs)}
        for name, found in types.items():
            wanted = _INT if name in engine.inputs else _FLOAT
            if found != wanted:
                raise InputError(
                    f"A model must take int64 and give float32, but {name} of {path} is {found}; "
                    "emit it with fleetfit."
                )
        self._stream, self._lock = Stream(), threading.Lock()
        self._timer = Timer(self._stream)
        self._buffers: dict[str, Pair] = {}
        self._filled: tuple[int, int] | None = None
        self._graph: CudaGraph | None = None
        self._device_s: float | None = None

    @property
    def shape(self) -> tuple[int, int] | None:
        return self._rule.shape

    @property
    def outputs(self) -> tuple[str, ...]:
        return self._engine.outputs

    @property
    def device_s(self) -> float | None:
        return self._device_s

    @property
    def properties(self) -> dict[str, str]:
        record, gpu = self._record, self._gpu
        return self._engine.properties | {
            PRECISION: record.precision,
            "compatible": record.compatible,
            "cuda_graph": str(self._target.cuda_graph),
            "tensorrt": record.tensorrt,
            "profile": str(record.profile),
            "gpu": gpu.name,
            "compute_capability": "{}.{}".format(*gpu.capability),
            "cuda_driver": str(gpu.driver),
            "transfers": "page-locked, included",
            "layers": ", ".join(f"{count} {kind}" for kind, count in record.layers.items()),
        }

    def run(self, inputs: Inputs) -> Outputs:
        self._rule.check(inputs)
        with self._lock:
            self._reshape(inputs)
            for name, values in inputs.items():
                pair = self._buffers[name]
                pair.host[:] = values
                pair.to_device(self._stream)
            self._enqueue()
            for name in self._engine.outputs:
                self._buffers[name].to_host(self._stream)
            self._stream.wait()
            self._device_s = self._timer.seconds()
            return {name: self._buffers[name].host.copy() for name in self._engine.outputs}

    def _enqueue(self) -> None:
        """The engine between two events; recorded as a graph after its first run."""
        handle = self._stream.handle
        self._timer.start()
        if self._graph is None:
            self._engine.enqueue(handle)
        else:
            self._graph.launch()
        self._timer.stop()
        if self._target.cuda_graph and self._graph is None:
            self._stream.wait()  # recording allows no work that is still on its way
            self._graph = CudaGraph(self._stream, lambda: self._engine.enqueue(handle))

    def _reshape(self, inputs: Inputs) -> None:
        """Buffers of the shape of the inputs; kept until another shape comes."""
        batch, seq = inputs["input_ids"].shape
        shape = (int(batch), int(seq))
        if shape == self._filled:
            return
        least, most = self._record.profile.least, self._record.profile.most
        if not (least[0] <= batch <= most[0] and least[1] <= seq <= most[1]):
            raise wrong_inputs(inputs, f"from {least} to {most}, which the engine was built for")
        self._filled, self._graph = None, None  # should something go wrong on the way
        shapes = dict.fromkeys(self._engine.inputs, shape) | self._engine.reshape(shape)
        self._buffers = {}  # free before more is taken
        for name, sizes in shapes.items():
            kind = _INT if name in self._engine.inputs else _FLOAT
            self._buffers[name] = Pair(sizes, kind)
            self._engine.bind(name, self._buffers[name].device)
        self._filled = shape
