"""Whether a loaded network computes what its PyTorch reference computes."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from exporters.inputs import make_inputs
from exporters.runtime import Inputs, Session
from fleetfit import Embedding, InputError, Precision, Workload
from fleetfit.codec import ADDED_LATER

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
INT8_LIMIT = 0.5
"""The same in int8, which differs by 3 % in logits and by 10 to 32 % in the worst number of a unit
vector (its cosine stays above 0.99): the limit finds a network that computes something else, which
is off by its whole magnitude. What int8 costs, the task's metric says.
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Parity:
    """How far a network is from its reference, over all real positions of all shapes."""

    max_abs_diff: float
    mean_abs_diff: float
    limit: float
    """Of ``max_abs_diff``."""
    shapes: tuple[tuple[int, int], ...]
    """The (batch, seq) compared, each once."""
    texts: int = field(default=0, metadata=ADDED_LATER)
    """How many of the runs were on real text; the others on random words."""

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
    texts: Sequence[Inputs] = (),
) -> Parity:
    """Compare on ``texts`` and random words in three workloads; InputError above the limit.

    Random words of a session with fixed shapes have its one shape and three shares of padding.
    int8 is compared on texts alone where there are some, for its scales are made for text.
    Hidden states and logits of padded positions mean nothing and are left out.
    """
    diffs, scale, shapes = [], 0.0, dict[tuple[int, int], None]()
    alone = bool(texts) and precision == "int8"
    random = () if alone else _random(session.shape, embedding)
    for inputs in itertools.chain(texts, random):
        found, largest = differences(reference(inputs), session.run(inputs), inputs)
        diffs.append(found)
        scale = max(scale, largest)
        batch, seq = inputs["input_ids"].shape
        shapes[batch, seq] = None
    diff = np.concatenate(diffs)
    limit = LIMITS[precision](scale)
    if not diff.max() <= limit:
        raise InputError(
            f"The exported network must agree with PyTorch to {limit:.2g} in {precision}, "
            f"but differs by {diff.max():.2g}; do not deploy it, and report the architecture."
        )
    return Parity(
        max_abs_diff=float(diff.max()),
        mean_abs_diff=float(diff.mean()),
        limit=limit,
        shapes=tuple(shapes),
        texts=len(texts),
    )


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


def _random(shape: tuple[int, int] | None, embedding: Embedding) -> Iterator[Inputs]:
    longest = embedding.max_positions
    shapes = [(1, 128), (2, 48), (3, 17)] if shape is None else [shape] * 3
    paddings = (0.25, 0.4, 0.1)
    for i, ((batch, seq), padding) in enumerate(zip(shapes, paddings, strict=True)):
        workload = Workload(batch=batch, seq_len=min(seq, longest), padding=padding)
        yield from make_inputs(embedding, workload, seed=i, count=1)


def _real(array: npt.NDArray[np.float32], inputs: Inputs) -> npt.NDArray[np.float32]:
    """Only the positions that are not padding, where the output has positions."""
    mask = inputs["attention_mask"].astype(bool)
    return array[mask] if array.ndim == 3 and array.shape[:2] == mask.shape else array
