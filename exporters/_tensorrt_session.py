"""A loaded engine as a Session: a stream of its own, page-locked buffers, an optional graph."""

from __future__ import annotations

import math
import threading
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from exporters._cuda import Gpu, chooser
from exporters._cuda_queue import CudaGraph, Pair, Stream, Timer
from exporters._tensorrt_run import Engine
from exporters.emit import PRECISION
from exporters.engine_record import EngineRecord
from exporters.input_rule import InputRule, wrong_inputs
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
        for name in (*engine.inputs, *engine.outputs):
            found, wanted = engine.dtype(name), self._kind(name)
            if found != wanted:
                raise InputError(
                    f"A model must take int64 and give float32, but {name} of {path} is {found}; "
                    "emit it with fleetfit."
                )
        self._choose, self._lock = chooser(), threading.Lock()
        self._stream = Stream()
        self._timer = Timer(self._stream)
        self._buffers = _Buffers(engine)
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
            "cuda_graph": str(self._graph is not None),  # from the first run on, where asked for
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
            self._choose()
            self._reshape(inputs)
            for name, values in inputs.items():
                self._buffers.arrays[name][:] = values
                self._buffers.to_device(name, self._stream)
            self._enqueue()
            for name in self._engine.outputs:
                self._buffers.to_host(name, self._stream)
            self._stream.wait()
            self._device_s = self._timer.seconds()
            return {name: self._buffers.arrays[name].copy() for name in self._engine.outputs}

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
            self._graph = CudaGraph(self._stream, lambda: self._engine.enqueue(handle))

    def _reshape(self, inputs: Inputs) -> None:
        """Tell the engine the shape of the inputs, and make room for what is larger than before."""
        batch, seq = inputs["input_ids"].shape
        shape = (int(batch), int(seq))
        if shape == self._filled:
            return
        least, most = self._record.profile.least, self._record.profile.most
        if not (least[0] <= batch <= most[0] and least[1] <= seq <= most[1]):
            raise wrong_inputs(inputs, f"from {least} to {most}, which the engine was built for")
        self._filled, self._graph = None, None  # should something go wrong on the way
        shapes = dict.fromkeys(self._engine.inputs, shape) | self._engine.reshape(shape)
        left = math.prod(most) / math.prod(shape)
        for name, sizes in shapes.items():
            self._buffers.fit(name, sizes, self._kind(name), left=left)
        self._filled = shape

    def _kind(self, name: str) -> np.dtype[Any]:
        return _INT if name in self._engine.inputs else _FLOAT


class _Buffers:
    """Memory of every input and output, by name; it grows and is never given back on the way."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._pairs: dict[str, Pair] = {}
        self._addresses: dict[str, int] = {}  # that the engine has been told
        self.arrays: dict[str, npt.NDArray[Any]] = {}
        """The host's part in the shape of the last ``fit``."""

    def fit(self, name: str, shape: tuple[int, ...], dtype: np.dtype[Any], *, left: float) -> None:
        """Room for an array, which may grow ``left`` times; the engine is told where."""
        size_bytes = math.prod(shape) * dtype.itemsize
        had_bytes = self._pairs[name].size_bytes if name in self._pairs else 0
        if had_bytes < size_bytes:
            self.arrays.pop(name, None)
            self._pairs.pop(name, None)  # free before more is taken
            # Twice as much where it may grow, so that lengths one by one do not allocate each.
            most_bytes = math.ceil(size_bytes * left)
            self._pairs[name] = Pair(max(size_bytes, min(2 * had_bytes, most_bytes)))
        pair = self._pairs[name]
        self.arrays[name] = pair.array(shape, dtype)
        if self._addresses.get(name) != pair.device:
            self._addresses.pop(name, None)
            self._engine.bind(name, pair.device)
            self._addresses[name] = pair.device

    def to_device(self, name: str, stream: Stream) -> None:
        """Queue the copy."""
        self._pairs[name].to_device(self.arrays[name].nbytes, stream)

    def to_host(self, name: str, stream: Stream) -> None:
        """Queue the copy."""
        self._pairs[name].to_host(self.arrays[name].nbytes, stream)
