"""TensorRT's builder: from an ONNX file to a strongly typed engine, for versions 10 and 11."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from exporters._tensorrt import Messages, asked, messages, require_tensorrt, trt_version
from exporters._tensorrt_layers import layer_counts
from exporters._timing_cache import TimingCache
from exporters.emit import INPUTS
from exporters.engine_record import Profile
from exporters.runtime import said
from fleetfit import InputError, SurroundingsError

if TYPE_CHECKING:
    import tensorrt as trt

__all__ = ["Plan", "Recipe", "build_plan"]

_LEAST_VERSION: Final = 10
_WORKSPACE_BYTES: Final = 2**31
"""Scratch memory a kernel may use: plenty for these networks, and the same on every GPU."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """What the ONNX file does not say."""

    tf32: bool
    """Whether products of fp32 may round to TF32; TensorRT's own default is yes."""
    compatible: Literal["none", "version", "hardware"]
    profile: Profile


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """An engine as bytes, and what is in it."""

    data: bytes
    layers: dict[str, int]
    device_memory_bytes: int


def build_plan(model: bytes, recipe: Recipe, cache: TimingCache) -> Plan:
    """Build, and look into what was built; ``cache`` is read before and written afterwards.

    Raises RuntimeMissing; InputError where TensorRT cannot read the model; SurroundingsError where
    it cannot build or is too old. TensorRT must have been ``started``.
    """
    require_tensorrt()
    import tensorrt as trt

    kept = Messages()
    logger = messages(kept)
    builder = asked(lambda: trt.Builder(logger), "start", kept, kind=SurroundingsError)
    flags = network_flags()
    network = asked(
        lambda: builder.create_network(flags), "begin a network", kept, kind=SurroundingsError
    )
    parser = asked(
        lambda: trt.OnnxParser(network, logger), "begin to read", kept, kind=SurroundingsError
    )
    if not parser.parse(model):
        told = [said(parser.get_error(i).desc()) for i in range(parser.num_errors)]
        raise InputError(
            "TensorRT must be able to read the model, but says: "
            f"{(told or [kept.last()])[0].rstrip('.')}; choose another target, or report the "
            "architecture."
        )
    config = asked(builder.create_builder_config, "begin to build", kept, kind=SurroundingsError)
    _configure(builder, config, recipe)
    _use(config, cache.read())
    kept.last()  # what it said of a cache that did not fit
    built = asked(
        lambda: builder.build_serialized_network(network, config),
        "build an engine",
        kept,
        kind=SurroundingsError,
    )
    _keep(config, cache)
    return _seen(bytes(built), recipe, logger, kept)


def network_flags() -> int:
    """Strongly typed: version 11 is nothing else, version 10 must be told."""
    import tensorrt as trt

    major = int(trt_version().split(".")[0])
    if major < _LEAST_VERSION:
        raise SurroundingsError(
            f"TensorRT must be of version 10 or newer, but {trt.__version__} is installed; "
            "pip install 'tensorrt>=10.13'."
        )
    # By name: the value of the bit is not the same in both.
    strong: int = trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED.value
    return 1 << strong if major == _LEAST_VERSION else 0


def _configure(builder: trt.Builder, config: trt.IBuilderConfig, recipe: Recipe) -> None:
    import tensorrt as trt

    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, _WORKSPACE_BYTES)
    # So that the inspector tells the types of layers; it does not change kernels.
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    if recipe.tf32:
        config.set_flag(trt.BuilderFlag.TF32)
    else:
        config.clear_flag(trt.BuilderFlag.TF32)
    if recipe.compatible == "version":
        config.set_flag(trt.BuilderFlag.VERSION_COMPATIBLE)
    elif recipe.compatible == "hardware":
        config.hardware_compatibility_level = trt.HardwareCompatibilityLevel.AMPERE_PLUS
    if recipe.profile.is_dynamic:
        shapes = builder.create_optimization_profile()
        try:
            for name in INPUTS:
                profile = recipe.profile
                shapes.set_shape(name, profile.least, profile.usual, profile.most)
            told = "does not" if config.add_optimization_profile(shapes) < 0 else ""
        except (RuntimeError, ValueError) as exc:
            told = f"says: {said(exc)}"
        if told:
            raise SurroundingsError(
                f"TensorRT must take the profile {recipe.profile}, but {told}; report it."
            )


def _use(config: trt.IBuilderConfig, data: bytes) -> None:
    """Start from the cache; from an empty one where it does not fit or is damaged."""
    for content in (data, b""):
        made = config.create_timing_cache(content)
        if made is not None and config.set_timing_cache(made, False):
            return


def _keep(config: trt.IBuilderConfig, cache: TimingCache) -> None:
    """Write the cache, with what another process may have added meanwhile."""
    mine, others = config.get_timing_cache(), config.create_timing_cache(cache.read())
    if mine is None:
        return
    if others is not None:
        mine.combine(others, False)  # refused by itself where versions or GPUs differ
    data = mine.serialize()
    if data is not None:
        cache.write(bytes(data))


def _seen(data: bytes, recipe: Recipe, logger: trt.ILogger, kept: Messages) -> Plan:
    """Load what was built once, for the inspector."""
    import tensorrt as trt

    runtime = asked(lambda: trt.Runtime(logger), "start", kept, kind=SurroundingsError)
    runtime.engine_host_code_allowed = recipe.compatible == "version"
    engine = asked(
        lambda: runtime.deserialize_cuda_engine(data),
        "load the engine it has built",
        kept,
        kind=SurroundingsError,
    )
    memory_bytes = int(engine.device_memory_size_v2)
    return Plan(data=data, layers=_layers(engine), device_memory_bytes=memory_bytes)


def _layers(engine: trt.ICudaEngine) -> dict[str, int]:
    """By kind and precision; none where TensorRT does not tell, for it is only a record."""
    import tensorrt as trt

    try:
        inspector = engine.create_engine_inspector()
        text = inspector.get_engine_information(trt.LayerInformationFormat.JSON)
    except (AttributeError, RuntimeError, TypeError):  # no inspector, or no text
        return {}
    return layer_counts(text)
