"""Whether a loaded network computes what its PyTorch reference computes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from exporters.inputs import make_inputs
from exporters.runtime import Inputs, Session
from fleetfit import Embedding, InputError, Precision, Workload

__all__ = ["LIMITS", "Parity", "Reference", "check_parity", "differences"]

Reference = Callable[[Inputs], Mapping[str, npt.NDArray[np.float32]]]
"""From inputs to the same outputs, by name, computed in fp32 by PyTorch."""

FP32_LIMIT = 1e-4
"""Largest absolute difference in fp32."""
BF16_LIMIT = 0.05
"""Largest difference in bf16, as a share of the largest magnitude of the reference's output.

bf16 rounds to 2^-9 = 0.2 %; over the roundings of 3 to 6 layers, 192 to 384 wide, the largest
difference was 0.8 to 1.6 % for every head, and the limit is three times the worst of them.
"""

FP16_LIMIT = 0.01
"""The same in fp16 and in TF32, which round to 2^-11."""
INT8_LIMIT = 0.25
"""The same in int8."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Parity:
    """How far a network is from its reference, over all real positions of all shapes."""

    max_abs_diff: float
    mean_abs_diff: float
    limit: float
    """Of ``max_abs_diff``."""
    shapes: tuple[tuple[int, int], ...]
    """The (batch, seq) compared."""

    def __post_init__(self) -> None:
        """Differences are numbers from 0, at least one shape was compared."""
        if not (0 <= self.mean_abs_diff <= self.max_abs_diff < float("inf")) or not self.shapes:
            raise InputError(
                "Parity must have finite differences and compared shapes, but got "
                f"{self.mean_abs_diff}, {self.max_abs_diff} over {len(self.shapes)} shapes."
            )

    @property
    def holds(self) -> bool:
        """Whether the difference is within the limit."""
        return self.max_abs_diff <= self.limit


def check_parity(
    session: Session,
    reference: Reference,
    embedding: Embedding,
    precision: Precision,
    *,
    seed: int,
) -> Parity:
    """Compare at three workloads with padding; raises InputError above the limit.

    A session with fixed shapes is compared at its one shape with three shares of padding.
    Hidden states and logits of padded positions mean nothing and are left out.
    """
    diffs, scale, shapes = [], 0.0, []
    for i, workload in enumerate(_workloads(session.shape, embedding)):
        (inputs,) = make_inputs(embedding, workload, seed=seed + i, count=1)
        found, largest = differences(reference(inputs), session.run(inputs), inputs)
        diffs.append(found)
        scale = max(scale, largest)
        shapes.append((workload.batch, workload.seq_len))
    diff = np.concatenate(diffs)
    limit = LIMITS[precision](scale)
    if not diff.max() <= limit:
        raise InputError(
            f"The exported network must agree with PyTorch to {limit:.2g} in {precision}, "
            f"but differs by {diff.max():.2g}; do not deploy it, and report the architecture."
        )
    largest, mean = float(diff.max()), float(diff.mean())
    return Parity(max_abs_diff=largest, mean_abs_diff=mean, limit=limit, shapes=tuple(shapes))


def differences(
    expected: Mapping[str, npt.NDArray[np.float32]],
    got: Mapping[str, npt.NDArray[np.float32]],
    inputs: Inputs,
) -> tuple[npt.NDArray[np.float64], float]:
    """Absolute differences of all outputs at real positions, and the largest expected magnitude.

    Raises InputError where names or shapes differ.
    """
    if expected.keys() != got.keys():
        raise InputError(
            f"The network must have the outputs {sorted(expected)}, but got {sorted(got)}."
        )
    diffs, scale = [], 0.0
    for name, array in expected.items():
        wanted, found = _real(array, inputs), _real(got[name], inputs)
        if wanted.shape != found.shape:
            raise InputError(
                f"The output {name!r} must have the shape {array.shape}, but got {got[name].shape}."
            )
        diffs.append(np.abs(wanted.astype(np.float64) - found).ravel())
        scale = max(scale, float(np.abs(wanted).max()))
    return np.concatenate(diffs), scale


LIMITS: dict[Precision, Callable[[float], float]] = {
    "fp32": lambda scale: FP32_LIMIT,
    "tf32": lambda scale: FP16_LIMIT * scale,
    "bf16": lambda scale: BF16_LIMIT * scale,
    "fp16": lambda scale: FP16_LIMIT * scale,
    "int8": lambda scale: INT8_LIMIT * scale,
    "int8_dynamic": lambda scale: INT8_LIMIT * scale,
}
"""Precision to the limit of the absolute difference, given the output's largest magnitude."""


def _workloads(shape: tuple[int, int] | None, embedding: Embedding) -> list[Workload]:
    longest = embedding.max_positions
    shapes = [(1, 128), (2, 48), (3, 17)] if shape is None else [shape] * 3
    paddings = (0.25, 0.4, 0.1)
    return [
        Workload(batch=batch, seq_len=min(seq, longest), padding=padding)
        for (batch, seq), padding in zip(shapes, paddings, strict=True)
    ]


def _real(array: npt.NDArray[np.float32], inputs: Inputs) -> npt.NDArray[np.float32]:
    """Only the positions that are not padding, where the output has positions."""
    mask = inputs["attention_mask"].astype(bool)
    return array[mask] if array.ndim == 3 and array.shape[:2] == mask.shape else array
