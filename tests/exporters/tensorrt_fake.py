"""TensorRT in the form of its module: an engine is an ONNX model with a head, run on the host.

Only names that versions 10 and 11 have, but for what a version alone has. What the real library
may end the process over fails as an AssertionError, so that it must have been looked at before.
"""

from __future__ import annotations

import json
import sys
import types
from importlib.machinery import ModuleSpec
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from exporters._onnxruntime import open_model
from exporters.calibrate import PLAIN_OPTIONS
from tests.exporters.cuda_fake import FakeCuda


class Name:
    """One of an enumeration's."""

    def __init__(self, name: str, value: int) -> None:
        self.name, self.value = name, value

    def __repr__(self) -> str:
        return self.name


def names(*given: str, start: int = 0) -> types.SimpleNamespace:
    return types.SimpleNamespace(**{n: Name(n, i + start) for i, n in enumerate(given)})


class ILogger:
    ERROR, INTERNAL_ERROR, INFO = (Name(n, i) for i, n in enumerate(["ERROR", "INTERNAL", "INFO"]))
    Severity = Name

    def __init__(self) -> None:
        self.ready = True

    def log(self, severity: Any, msg: str) -> None:
        raise NotImplementedError  # as in the library: a logger is a subclass


class Logger(ILogger):
    def __init__(self, least: Any = None) -> None:
        super().__init__()

    def log(self, severity: Any, msg: str) -> None:
        print(msg, file=sys.stderr)


class FakeTensorRt(types.ModuleType):
    """The module. ``seen`` is what the last build was told, ``refuses`` what gives None."""

    def __init__(self, cuda: FakeCuda, version: str = "10.16.1.11") -> None:
        super().__init__("tensorrt")
        self.__version__, self.cuda = version, cuda
        self.__spec__ = ModuleSpec("tensorrt", None)
        self.seen: dict[str, Any] = {}
        self.refuses: set[str] = set()
        self.context: Context | None = None
        """The last one."""
        major = int(version.split(".")[0])
        self.ILogger, self.Logger = ILogger, Logger
        old = ("FP16", "BF16", "INT8") if major == 10 else ()
        self.BuilderFlag = names("TF32", "VERSION_COMPATIBLE", *old)
        self.NetworkDefinitionCreationFlag = names("STRONGLY_TYPED", start=1 if major == 10 else 0)
        self.MemoryPoolType = names("WORKSPACE")
        self.ProfilingVerbosity = names("DETAILED")
        self.HardwareCompatibilityLevel = names("NONE", "AMPERE_PLUS", "SAME_COMPUTE_CAPABILITY")
        self.LayerInformationFormat = names("JSON", "ONELINE")
        self.TensorIOMode = names("NONE", "INPUT", "OUTPUT")
        self.Builder = lambda logger: self._made("Builder", logger, Builder)
        self.Runtime = lambda logger: self._made("Runtime", logger, Runtime)
        self.OnnxParser = lambda network, logger: Parser(network)

    def install(self, patch: pytest.MonkeyPatch) -> None:
        """``import tensorrt`` gives this from now on."""
        patch.setitem(sys.modules, "tensorrt", self)
        self.cuda.install(patch)

    def nptype(self, kind: int) -> Any:
        if kind == TensorProto.BFLOAT16:
            raise TypeError("Could not resolve TensorRT datatype to an equivalent numpy datatype.")
        return helper.tensor_dtype_to_np_dtype(kind)

    def _made(self, name: str, logger: ILogger, kind: Any) -> Any:
        assert logger.ready
        assert self.cuda.device == 0
        if name in self.refuses:
            logger.log(ILogger.ERROR, "CUDA initialization failure with error: 35")
            raise TypeError(f"pybind11::init(): factory function returned nullptr ({name})")
        return kind(self, logger)


def install_standin(patch: pytest.MonkeyPatch, version: str = "10.16.1.11") -> FakeTensorRt:
    """TensorRT and CUDA from now on; nothing is tried in another process."""
    found = FakeTensorRt(FakeCuda(), version)
    found.install(patch)
    patch.setattr("exporters.tensorrt_gpu.started", lambda: None)
    return found


class Builder:
    def __init__(self, trt: FakeTensorRt, logger: ILogger) -> None:
        self.trt, self.logger = trt, logger

    def create_network(self, flags: int = 0) -> Network:
        self.trt.seen["network"] = flags
        return Network()

    def create_builder_config(self) -> Config:
        return Config(self.trt)

    def create_optimization_profile(self) -> OptimizationProfile:
        return OptimizationProfile(self.trt)

    def build_serialized_network(self, network: Network, config: Config) -> bytes | None:
        self.trt.seen |= {
            "tf32": config.flags["TF32"],
            "version": config.flags.get("VERSION_COMPATIBLE", False),
            "level": config.hardware_compatibility_level.name,
            "profiles": [profile.shapes for profile in config.profiles],
            "workspace": config.workspace,
            "cache": None if config.cache is None else config.cache.data,
        }
        if "build_serialized_network" in self.trt.refuses:
            self.logger.log(ILogger.INFO, "this is not an error")
            self.logger.log(ILogger.ERROR, "out of\nluck")
            return None
        assert config.cache is not None
        config.cache.data += b"+"
        shapes = [profile.shapes["input_ids"] for profile in config.profiles]
        head = {
            "profile": [shapes[0][0], shapes[0][2]] if shapes else None,
            "version": self.trt.__version__,
            "capability": self.trt.cuda.capability,
            "compatible": config.flags.get("VERSION_COMPATIBLE", False),
            "level": config.hardware_compatibility_level.name,
        }
        return json.dumps(head).encode() + b"\n" + network.data


class Network:
    data = b""


class Parser:
    def __init__(self, network: Network) -> None:
        self.network, self.num_errors = network, 0

    def parse(self, model: bytes) -> bool:
        try:
            onnx.checker.check_model(model)
        except Exception:
            self.num_errors = 1
            return False
        self.network.data = model
        return True

    def get_error(self, index: int) -> Any:
        return types.SimpleNamespace(desc=lambda: "no ONNX\nat all.")


class OptimizationProfile:
    def __init__(self, trt: FakeTensorRt) -> None:
        self.trt = trt
        self.shapes: dict[str, Any] = {}

    def set_shape(self, name: str, least: Any, usual: Any, most: Any) -> None:
        if "set_shape" in self.trt.refuses:
            raise RuntimeError("Shape provided for\nmin is inconsistent")
        self.shapes[name] = (least, usual, most)


class Cache:
    """Its bytes begin with the version; another one's are refused."""

    def __init__(self, trt: FakeTensorRt, data: bytes) -> None:
        self.trt, self.version = trt, trt.__version__
        self.data = data or f"{self.version}:".encode()

    @property
    def fits(self) -> bool:
        return self.data.startswith(f"{self.version}:".encode())

    def combine(self, other: Cache, ignore_mismatch: bool) -> bool:
        assert not ignore_mismatch
        mine, theirs = (c.data.split(b":", 1)[-1] for c in (self, other))
        if other.fits and theirs not in mine:
            self.data += theirs
        return other.fits

    def serialize(self) -> bytes | None:
        return None if "serialize" in self.trt.refuses else self.data


class Config:
    def __init__(self, trt: FakeTensorRt) -> None:
        self.trt = trt
        self.flags = {"TF32": True}  # TensorRT's default
        self.profiles: list[OptimizationProfile] = []
        self.workspace: int | None = None
        self.cache: Cache | None = None
        self.hardware_compatibility_level = trt.HardwareCompatibilityLevel.NONE
        self.profiling_verbosity: Any = None

    def set_flag(self, flag: Name) -> None:
        self.flags[flag.name] = True

    def clear_flag(self, flag: Name) -> None:
        self.flags[flag.name] = False

    def set_memory_pool_limit(self, pool: Name, size: int) -> None:
        self.workspace = size

    def add_optimization_profile(self, profile: OptimizationProfile) -> int:
        if "add_optimization_profile" in self.trt.refuses:
            return -1
        self.profiles.append(profile)
        return len(self.profiles) - 1

    def create_timing_cache(self, data: bytes) -> Cache | None:
        return None if data == b"damaged" else Cache(self.trt, data)

    def set_timing_cache(self, cache: Cache, ignore_mismatch: bool) -> bool:
        assert not ignore_mismatch
        if cache.fits:
            self.cache = cache
        return cache.fits

    def get_timing_cache(self) -> Cache | None:
        return self.cache


class Runtime:
    max_threads = 1
    engine_host_code_allowed = False

    def __init__(self, trt: FakeTensorRt, logger: ILogger) -> None:
        self.trt, self.logger = trt, logger

    def deserialize_cuda_engine(self, data: bytes) -> Engine | None:
        line, _, model = data.partition(b"\n")
        head = json.loads(line)
        if "deserialize_cuda_engine" in self.trt.refuses:
            self.logger.log(ILogger.ERROR, "engine is broken")
            return None
        assert head["version"] == self.trt.__version__ or head["compatible"]
        assert head["capability"] == list(self.trt.cuda.capability) or head["level"] != "NONE"
        assert self.engine_host_code_allowed == head["compatible"]
        return Engine(self.trt, head, onnx.load_from_string(model), self.logger)


class Engine:
    device_memory_size_v2 = 4096
    num_optimization_profiles = 1

    def __init__(self, trt: FakeTensorRt, head: Any, model: Any, logger: ILogger) -> None:
        self.trt, self.model, self.logger = trt, model, logger
        self.level, self.profile = head["level"], head["profile"]
        graph = model.graph
        self.io = {v.name: v for v in (*graph.input, *graph.output)}
        self.given = {v.name for v in graph.input}
        self.num_io_tensors, self.num_layers = len(self.io), len(graph.node)

    @property
    def hardware_compatibility_level(self) -> Any:
        return getattr(self.trt.HardwareCompatibilityLevel, self.level)

    def get_tensor_name(self, index: int) -> str:
        return list(self.io)[index]

    def get_tensor_mode(self, name: str) -> Any:
        modes = self.trt.TensorIOMode
        return modes.INPUT if name in self.given else modes.OUTPUT

    def get_tensor_dtype(self, name: str) -> int:
        return int(self.io[name].type.tensor_type.elem_type)

    def get_tensor_shape(self, name: str) -> list[int]:
        dims = self.io[name].type.tensor_type.shape.dim
        return [d.dim_value if d.HasField("dim_value") else -1 for d in dims]

    def create_execution_context(self) -> Context | None:
        if "create_execution_context" in self.trt.refuses:
            return None
        found = self.trt.context = Context(self)
        return found

    def create_engine_inspector(self) -> Any:
        if "create_engine_inspector" in self.trt.refuses:
            return None
        outputs = {"Outputs": [{"Name": "x", "Format/Datatype": "Half"}]}
        layers = [{"LayerType": n.op_type, **outputs} for n in self.model.graph.node]
        return types.SimpleNamespace(
            get_engine_information=lambda format: json.dumps({"Layers": layers})
        )


class Context:
    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.addresses: dict[str, int] = {}
        self.told = 0
        """Addresses, so often."""
        self.run: Any = None

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        if "set_input_shape" in self.engine.trt.refuses:
            return False
        self.shapes[name] = tuple(shape)
        if self.engine.profile is None:
            return list(shape) == self.engine.get_tensor_shape(name)
        least, most = self.engine.profile
        return all(a <= b <= c for a, b, c in zip(least, shape, most, strict=True))

    def get_tensor_shape(self, name: str) -> list[int]:
        """As the model's named axes say."""
        (batch, seq) = self.shapes["input_ids"]
        sizes = {"batch": batch, "seq": seq}
        dims = self.engine.io[name].type.tensor_type.shape.dim
        return [sizes[d.dim_param] if d.dim_param else d.dim_value for d in dims]

    def set_tensor_address(self, name: str, address: int) -> bool:
        if "set_tensor_address" in self.engine.trt.refuses:
            return False
        assert address in self.engine.trt.cuda.blocks
        self.told += 1
        self.addresses[name] = address
        return True

    def execute_async_v3(self, stream: int) -> bool:
        assert stream == 7
        if "execute_async_v3" in self.engine.trt.refuses:
            self.engine.logger.log(ILogger.ERROR, "illegal memory access")
            return False
        shapes, addresses = dict(self.shapes), dict(self.addresses)
        self.engine.trt.cuda.enqueue(lambda: self._run(shapes, addresses))
        return True

    def _run(self, shapes: dict[str, tuple[int, ...]], addresses: dict[str, int]) -> None:
        self.run = self.run or _runner(self.engine.model)
        inputs = {n: self._array(addresses[n], s, np.int64).copy() for n, s in shapes.items()}
        for name, values in self.run(inputs).items():
            self._array(addresses[name], values.shape, np.float32)[:] = values

    def _array(self, address: int, shape: tuple[int, ...], dtype: Any) -> Any:
        cuda, size = self.engine.trt.cuda, int(np.prod(shape)) * np.dtype(dtype).itemsize
        block = cuda.block(address, size)
        return np.frombuffer(block, dtype=dtype, count=int(np.prod(shape))).reshape(shape)


def _runner(model: Any) -> Any:
    """ONNX Runtime, or where it has no kernels (bf16) ONNX's own evaluator."""
    if not any(t.data_type == TensorProto.BFLOAT16 for t in model.graph.initializer):
        return open_model(model.SerializeToString(), PLAIN_OPTIONS).run
    from onnx.reference import ReferenceEvaluator

    evaluator = ReferenceEvaluator(model)
    return lambda inputs: dict(
        zip(evaluator.output_names, evaluator.run(None, inputs), strict=True)
    )
