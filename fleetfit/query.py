"""What is asked about a network: how it is loaded with work, and how it runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from fleetfit.architecture import Architecture
from fleetfit.codec import check_literals, digest
from fleetfit.errors import InputError

__all__ = ["Precision", "Query", "RuntimeName", "Target", "Workload"]

RuntimeName = Literal["onnxruntime", "openvino"]
Precision = Literal["fp32", "bf16"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Workload:
    """How much is asked at once. ``padding`` is the share of padded positions, spread evenly."""

    batch: int = 1
    seq_len: int = 128
    padding: float = 0.0

    def __post_init__(self) -> None:
        """Batch and length at least 1, padding below 1."""
        if self.batch < 1 or self.seq_len < 1 or not 0 <= self.padding < 1:
            raise InputError(
                "A workload must have batch >= 1, seq_len >= 1 and 0 <= padding < 1, but got "
                f"{self.batch}, {self.seq_len}, {self.padding}."
            )

    def __str__(self) -> str:
        """For tables."""
        padded = f", {self.padding:.0%} padded" if self.padding else ""
        return f"batch {self.batch}, {self.seq_len} tokens{padded}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """Everything that changes how a network runs on a device."""

    runtime: RuntimeName
    provider: Literal["cpu"] = "cpu"
    precision: Precision = "fp32"
    threads: int = 1
    spinning: bool = False
    """Whether idle worker threads spin between operators (ONNX Runtime)."""
    affinity: tuple[int, ...] = ()
    """Cores the process is pinned to; empty: those it was given."""
    shapes: Literal["fixed", "dynamic"] = "dynamic"

    def __post_init__(self) -> None:
        """Threads are always explicit, names are known."""
        check_literals(self)
        if self.threads < 1:
            raise InputError(f"`threads >= 1` must hold, but got {self.threads}.")

    @property
    def id(self) -> str:
        """16 hexadecimal digits over every option."""
        return digest(self)

    def __str__(self) -> str:
        """For tables, as in ``openvino-bf16-2t``; options beside the default are named."""
        name = f"{self.runtime}-{self.precision}-{self.threads}t"
        return name + ("-fixed" if self.shapes == "fixed" else "") + ("-spin" * self.spinning)


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
