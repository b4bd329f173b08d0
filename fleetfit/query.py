"""What is asked about a network: how it is loaded with work, and how it runs."""

from __future__ import annotations

import itertools
import statistics
from dataclasses import dataclass, field
from typing import Final, Literal

from fleetfit.architecture import Architecture
from fleetfit.codec import ADDED_LATER, check_literals, digest
from fleetfit.errors import InputError

__all__ = ["QUANTIZED", "Precision", "Provider", "Query", "RuntimeName", "Target", "Workload"]

RuntimeName = Literal["onnxruntime", "openvino", "tensorrt"]
Provider = Literal["cpu", "cuda"]
Precision = Literal["fp32", "tf32", "bf16", "fp16", "int8", "int8_dynamic"]
"""tf32: fp32 with products in TF32 (GPUs). int8: weights and activations of linear maps by scales
from calibration; int8_dynamic: activations by the scale of each run (ONNX Runtime)."""
QUANTIZED: Final[tuple[Precision, ...]] = ("int8", "int8_dynamic")
"""Chosen only when asked for by name: they can cost quality, and int8 takes calibration text."""

MOST_THREADS: Final = 4096
"""More than any machine has; runtimes take a C int and fail otherwise."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Workload:
    """How much is asked at once, and how much of it is padding.

    Rows are padded to ``seq_len``, by the law of ``lengths`` or by ``padding``, or not at all.
    """

    batch: int = 1
    seq_len: int = 128
    padding: float = 0.0
    """Share of padded positions, spread evenly over the rows."""
    lengths: tuple[int, ...] = field(default=(), metadata=ADDED_LATER)
    """Real tokens of a row, special ones included: equally likely values, sorted. One value: every
    row has so many; many: the quantiles of a distribution; none: ``padding`` says."""

    def __post_init__(self) -> None:
        """Batch and length at least 1, padding below 1, lengths sorted and within seq_len."""
        if self.batch < 1 or self.seq_len < 1 or not 0 <= self.padding < 1:
            raise InputError(
                "A workload must have batch >= 1, seq_len >= 1 and 0 <= padding < 1, but got "
                f"{self.batch}, {self.seq_len}, {self.padding}."
            )
        if self.lengths:
            self._check_lengths()

    def _check_lengths(self) -> None:
        if self.padding > 0:
            raise InputError(
                "A workload must have lengths or a share of padding, but got both; leave one out."
            )
        ends = (1, *self.lengths, self.seq_len)
        if any(a > b for a, b in itertools.pairwise(ends)):
            raise InputError(
                f"Lengths of a workload must be sorted, from 1 to its {self.seq_len} tokens, but "
                f"got {_shown(self.lengths)}; cut them, or take a longer sequence."
            )

    def __str__(self) -> str:
        """For tables."""
        padded = f", {self.padding:.0%} padded" if self.padding else ""
        if len(self.lengths) == 1:
            padded = f", length {self.lengths[0]}"
        elif self.lengths:
            middle = statistics.median_low(self.lengths)
            padded = f", lengths {self.lengths[0]} to {self.lengths[-1]}, median {middle}"
        return f"batch {self.batch}, {self.seq_len} tokens{padded}"


def _shown(lengths: tuple[int, ...]) -> str:
    few = ", ".join(map(str, lengths[:4]))
    return few if len(lengths) <= 4 else f"{few}, ... {lengths[-1]}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """Everything that changes how a network runs on a device."""

    runtime: RuntimeName
    provider: Provider = "cpu"
    precision: Precision = "fp32"
    threads: int = 1
    spinning: bool = False
    """Whether idle worker threads spin between operators (ONNX Runtime)."""
    affinity: tuple[int, ...] = ()
    """Cores the process is pinned to; empty: those it was given."""
    shapes: Literal["fixed", "dynamic"] = "dynamic"
    compatible: Literal["none", "version", "hardware"] = field(default="none", metadata=ADDED_LATER)
    """What else may load the engine: nothing, newer versions, other GPUs (TensorRT; slower)."""
    cuda_graph: bool = field(default=False, metadata=ADDED_LATER)
    """Whether runs replay a recorded CUDA graph (TensorRT; fixed shapes)."""

    def __post_init__(self) -> None:
        """Threads are always explicit, names are known."""
        check_literals(self)
        if not 1 <= self.threads <= MOST_THREADS:
            raise InputError(f"`1 <= threads <= {MOST_THREADS}` must hold, but got {self.threads}.")

    @property
    def id(self) -> str:
        """16 hexadecimal digits over every option."""
        return digest(self)

    def __str__(self) -> str:
        """For tables, as in ``openvino-bf16-2t``; what is not the default follows, but affinity."""
        gpu = "-cuda" * (self.provider == "cuda" and self.runtime != "tensorrt")
        name = f"{self.runtime}{gpu}-{self.precision}-{self.threads}t"
        name += "-fixed" * (self.shapes == "fixed") + "-spin" * self.spinning
        compatible = "" if self.compatible == "none" else f"-{self.compatible}"
        return name + compatible + "-graph" * self.cuda_graph


@dataclass(frozen=True, kw_only=True, slots=True)
class Query:
    """What a predictor is asked and a device measures."""

    architecture: Architecture
    target: Target
    workload: Workload

    @property
    def id(self) -> str:
        """16 hexadecimal digits over (cost_id, target, workload): equal cost, equal id."""
        return digest((self.architecture.cost_id, self.target, self.workload))
