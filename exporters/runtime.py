"""What a runtime is to this project: it builds an artefact, loads it, and says how it runs."""

from __future__ import annotations

import abc
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import onnx

from fleetfit import (
    DeviceInfo,
    InputError,
    Precision,
    Provider,
    RuntimeName,
    SurroundingsError,
    Target,
    Workload,
)

__all__ = ["Artifact", "Inputs", "Outputs", "Runtime", "Session"]

Inputs = Mapping[str, npt.NDArray[np.int64]]
Outputs = dict[str, npt.NDArray[np.float32]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Artifact:
    """What a runtime loads, made for one target and workload."""

    target: Target
    workload: Workload
    path: str
    """The file, as in ``.../model.onnx``; an OpenVINO ``.xml`` has its weights in a ``.bin``, a
    TensorRT ``.engine`` its record in a ``.json``."""
    file_bytes: int
    """Of all files together."""
    sha256: str
    """Of the file, or of its files one after the other, hexadecimal."""

    def __post_init__(self) -> None:
        """A file that is not empty, and a whole hash."""
        if self.file_bytes < 1 or len(self.sha256) != 64:
            raise InputError(
                "An artefact must have a file of at least 1 byte and a SHA-256 of 64 digits, "
                f"but got {self.file_bytes} and {self.sha256!r}."
            )

    @property
    def files(self) -> tuple[Path, ...]:
        """Everything that must lie together to be loaded."""
        return files_of(Path(self.path))


def files_of(model: Path) -> tuple[Path, ...]:
    """A model file and what belongs to it."""
    beside = {".xml": ".bin", ".engine": ".json"}.get(model.suffix)
    return (model,) if beside is None else (model, model.with_suffix(beside))


class Session(abc.ABC):
    """A loaded network; threads may share it."""

    @property
    @abc.abstractmethod
    def shape(self) -> tuple[int, int] | None:
        """(batch, seq) where the network takes no other, else None."""

    @property
    @abc.abstractmethod
    def outputs(self) -> tuple[str, ...]:
        """Names of what ``run`` gives."""

    @property
    @abc.abstractmethod
    def properties(self) -> dict[str, str]:
        """Every option that changes how it runs, read back from the loaded object."""

    @property
    def device_s(self) -> float | None:
        """Seconds of the last run by the clock of a device beside the processor; None without."""
        return None

    @abc.abstractmethod
    def run(self, inputs: Inputs) -> Outputs:
        """Run once: int64 batch x seq in, name to float32 array out.

        Raises InputError for inputs that do not fit the network, SurroundingsError where the
        machine fails.
        """


class Runtime(abc.ABC):
    """Builds and loads. Nothing is imported before it is used; no vendor exception gets out."""

    name: ClassVar[RuntimeName]
    """As in ``Target.runtime``."""
    provider: ClassVar[Provider]
    """As in ``Target.provider``."""
    precisions: ClassVar[tuple[Precision, ...]]
    """All that it has; a machine may lack some."""

    @abc.abstractmethod
    def available(self) -> bool:
        """Whether the library is installed."""

    @abc.abstractmethod
    def version(self) -> str:
        """Version of the library; raises RuntimeMissing."""

    @abc.abstractmethod
    def targets(self, device: DeviceInfo, *, threads: int) -> tuple[Target, ...]:
        """What it can run on the device, one target per precision; none if not installed."""

    @abc.abstractmethod
    def takes_onnx(self, target: Target) -> bool:
        """Whether the artefact is the emitted ONNX file as it is, which targets may then share."""

    @abc.abstractmethod
    def build(
        self,
        model: onnx.ModelProto,
        target: Target,
        workload: Workload,
        directory: Path,
        *,
        calibration: Sequence[Inputs] = (),
    ) -> Artifact:
        """Write the artefact into ``directory``; it is not flushed, for it can be built again.

        ``model`` as ``emit`` gives it; the target's precision is put into it here, and
        ``int8`` takes the scales of activations from runs on ``calibration``.
        Raises InputError where the target is not this runtime's, the model's shapes are not
        those of target and workload, or int8 has no inputs for calibration; SurroundingsError
        where the disk refuses.
        """

    @abc.abstractmethod
    def options(self, target: Target) -> dict[str, Any]:
        """What ``load`` sets, as plain JSON data; for a process that loads without this package."""

    @abc.abstractmethod
    def load(self, artifact: Artifact) -> Session:
        """Load with the target's options and read them back, the precision among them.

        Raises InputError for a missing or damaged file, RuntimeMissing, and SurroundingsError
        where the machine cannot do it or an option was not taken.
        """


def model_shape(model: onnx.ModelProto) -> tuple[int, int] | None:
    """(batch, seq) of a model with fixed shapes, None for one with named axes."""
    dims = model.graph.input[0].type.tensor_type.shape.dim
    if len(dims) == 2 and all(d.HasField("dim_value") for d in dims):
        return dims[0].dim_value, dims[1].dim_value
    return None


def check_target(adapter: Runtime, target: Target) -> None:
    """Raise InputError unless ``target`` is one of the runtime's, options included."""
    mine = (target.runtime, target.provider) == (adapter.name, adapter.provider)
    if not mine or target.precision not in adapter.precisions:
        raise InputError(
            f"A target of {adapter.name} on {adapter.provider} must have one of the precisions "
            f"{', '.join(adapter.precisions)}, but got {target} on {target.provider}."
        )
    for suffix, has, owner in (
        ("-spin", target.spinning, "onnxruntime"),
        (f"-{target.compatible}", target.compatible != "none", "tensorrt"),
        ("-graph", target.cuda_graph, "tensorrt"),
    ):
        if has and adapter.name != owner:
            raise InputError(
                f"{suffix} must come with a target of {owner}, but got {target}; leave it out."
            )
    if target.cuda_graph and target.shapes != "fixed":
        raise InputError(f"-graph must come with -fixed, but got {target}; add it.")


def check_calibration(target: Target, calibration: Sequence[Inputs]) -> None:
    """Raise InputError where int8 has no inputs to take its scales from."""
    if target.precision == "int8" and not calibration:
        raise InputError(
            f"{target} must have texts for calibration, but there is none; give some (export "
            "--calibration FILE), or take int8_dynamic or a float precision."
        )


def check_shapes(model: onnx.ModelProto, target: Target, workload: Workload) -> None:
    """Raise InputError unless the model's shapes are those that the target names."""
    shape = model_shape(model)
    wanted = (workload.batch, workload.seq_len) if target.shapes == "fixed" else None
    if shape != wanted:
        raise InputError(
            f"A model for {target} must have {target.shapes} shapes ({wanted or 'named axes'}), "
            f"but got {shape or 'named axes'}; emit it for this target."
        )


def check_affinity(target: Target) -> None:
    """Raise SurroundingsError unless this process is pinned as the target says."""
    if not target.affinity:
        return
    pinned = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
    if pinned != sorted(target.affinity):
        raise SurroundingsError(
            f"The process must be pinned to cores {sorted(target.affinity)}, but may use {pinned}; "
            "pin it first, as with taskset -c."
        )


def check_read_back(target: Target, wanted: Mapping[str, str], found: Mapping[str, str]) -> None:
    """Raise SurroundingsError unless every option reads back as it was set."""
    for key, value in wanted.items():
        if found.get(key) != value:
            raise SurroundingsError(
                f"{target} must run with {key}={value}, but the loaded network says "
                f"{found.get(key)}; choose another target for this machine."
            )


def said(error: object) -> str:
    """What a library says, on one line of at most 300 characters."""
    return " ".join(str(error).split())[:300]
