"""Seeded random weights: what a network costs does not depend on what it knows."""

from __future__ import annotations

import functools
import math

import numpy as np
import numpy.typing as npt

from fleetfit import Architecture, Weights, weight_shapes

__all__ = ["random_weights"]


def random_weights(arch: Architecture, *, seed: int = 0) -> Weights:
    """Weights of ``arch`` with the variances of a trained network's start, read-only.

    The token table is shared between networks of like size (its values are a reshaped prefix of
    one vector, and two vectors are kept), because drawing it costs more than all else together.
    The same architecture and seed give the same weights, in any order of calls.
    """
    rng = np.random.default_rng([seed, 1])
    weights: dict[str, npt.NDArray[np.float32]] = {}
    for name, shape in weight_shapes(arch).items():
        if name == "embedding.tokens":
            size = math.prod(shape)
            weights[name] = _shared(seed, 1 << (size - 1).bit_length())[:size].reshape(shape)
            continue
        array = rng.random(shape, dtype=np.float32)
        array -= np.float32(0.5)
        array *= np.float32(_spread(name, shape) * math.sqrt(12))
        if name.endswith("norm.weight"):
            array += np.float32(1)
        array.flags.writeable = False
        weights[name] = array
    return weights


def _spread(name: str, shape: tuple[int, ...]) -> float:
    """Standard deviation: 1 / sqrt(inputs) for linear maps, 0.02 elsewhere."""
    is_linear = len(shape) == 2 and not name.startswith("embedding.")
    return 1 / math.sqrt(shape[1]) if is_linear else 0.02


@functools.lru_cache(maxsize=2)
def _shared(seed: int, size: int) -> npt.NDArray[np.float32]:
    """Random numbers of standard deviation 0.02; a shorter vector is a prefix of a longer one."""
    array = np.random.default_rng([seed, 0]).random(size, dtype=np.float32)
    array -= np.float32(0.5)
    array *= np.float32(0.02 * math.sqrt(12))
    array.flags.writeable = False
    return array
