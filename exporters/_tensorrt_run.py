"""TensorRT's engines: loaded, asked about themselves, and put into a stream."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from exporters._tensorrt import Messages, asked, messages, require_tensorrt
from fleetfit import InputError, SurroundingsError

if TYPE_CHECKING:
    import tensorrt as trt

__all__ = ["Engine"]


class Engine:
    """One engine with one execution context; not for threads at once."""

    def __init__(self, data: bytes, path: str, *, threads: int, host_code: bool) -> None:
        """From a file whose record has been checked; ``host_code``: version-compatible ones.

        Raises RuntimeMissing, InputError where TensorRT refuses the engine, SurroundingsError.
        """
        require_tensorrt()
        import tensorrt as trt

        self._kept = Messages()
        self._logger = messages(self._kept)  # held here: TensorRT does not
        self._runtime = self._asked(lambda: trt.Runtime(self._logger), "start")
        self._runtime.max_threads = threads
        self._runtime.engine_host_code_allowed = host_code
        self._engine: trt.ICudaEngine = asked(
            lambda: self._runtime.deserialize_cuda_engine(data),
            f"be able to load {path}",
            self._kept,
            kind=InputError,
        )
        self._context: trt.IExecutionContext = self._asked(
            self._engine.create_execution_context, "make room for an engine on the GPU"
        )
        names = [self._engine.get_tensor_name(i) for i in range(self._engine.num_io_tensors)]
        given = [self._engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT for name in names]
        self.inputs = {
            name: [size if size >= 0 else None for size in self._engine.get_tensor_shape(name)]
            for name, is_input in zip(names, given, strict=True)
            if is_input
        }
        """Name to sizes, None where not fixed."""
        self.outputs = tuple(n for n, is_input in zip(names, given, strict=True) if not is_input)

    def dtype(self, name: str) -> Any:
        """The numpy type of an input or output, TensorRT's own where numpy has none."""
        import tensorrt as trt

        kind = self._engine.get_tensor_dtype(name)
        try:
            return trt.nptype(kind)
        except TypeError:  # numpy has none, as for bf16
            return kind

    def reshape(self, shape: tuple[int, int]) -> dict[str, tuple[int, ...]]:
        """Give every input the (batch, seq) ``shape``; the shapes of the outputs."""
        for name in self.inputs:
            self._must(self._context.set_input_shape(name, shape), f"take {shape} for {name}")
        return {name: tuple(self._context.get_tensor_shape(name)) for name in self.outputs}

    def bind(self, name: str, address: int) -> None:
        """Where on the GPU an input is read, or an output written."""
        self._must(self._context.set_tensor_address(name, address), f"take memory for {name}")

    def enqueue(self, stream: int) -> None:
        """Put one run into the stream; shapes and addresses are set."""
        self._must(self._context.execute_async_v3(stream), "run the engine")

    @property
    def properties(self) -> dict[str, str]:
        """Read back from the loaded engine."""
        level = self._engine.hardware_compatibility_level
        return {
            "max_threads": str(self._runtime.max_threads),
            "device_memory_bytes": str(int(self._engine.device_memory_size_v2)),
            "hardware_compatibility_level": str(getattr(level, "name", level)),
            "num_layers": str(self._engine.num_layers),
            "num_optimization_profiles": str(self._engine.num_optimization_profiles),
        }

    def _asked(self, made: Any, what: str) -> Any:
        return asked(made, what, self._kept, kind=SurroundingsError)

    def _must(self, done: bool, what: str) -> None:
        if not done:
            raise SurroundingsError(
                f"TensorRT must {what}, but says: {self._kept.last()}; free memory of the GPU, or "
                "leave this target out."
            )
