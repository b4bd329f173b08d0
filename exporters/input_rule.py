"""Which inputs a loaded network takes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from exporters.emit import INPUTS, SIZES
from exporters.runtime import Inputs, said
from fleetfit import InputError

__all__ = ["InputRule", "size_of", "wrong_inputs"]


@dataclass(frozen=True, kw_only=True, slots=True)
class InputRule:
    """What a loaded network takes. Checked here, because runtimes overlook some misfits."""

    shape: tuple[int, int] | None
    """(batch, seq) where fixed."""
    longest: int | None
    """Longest sequence, where the model says so."""
    limits: tuple[tuple[str, int], ...] = ()
    """Inputs whose values lie from 0 to below a number: others would read beyond a table."""

    @classmethod
    def of(
        cls, path: str, inputs: Mapping[str, Sequence[object]], metadata: Mapping[str, str]
    ) -> InputRule:
        """From what the loaded model of the file ``path`` says about itself.

        ``inputs``: name to dimensions, whole numbers where fixed; ``metadata``: with SIZES; in
        models of earlier bundles some are not there, and then not limited. Raises InputError for
        what no emitted model says.
        """
        if inputs.keys() != _NAMES or any(len(dims) != 2 for dims in inputs.values()):
            found = ", ".join(f"{name} of rank {len(dims)}" for name, dims in inputs.items())
            raise InputError(
                f"A model must take {', '.join(INPUTS)}, each batch x seq, but {path} takes "
                f"{found or 'nothing'}; emit it with fleetfit."
            )
        told = [name for name in SIZES if name in metadata]
        if told not in ([], ["max_positions"], list(SIZES)):  # as now, and as two versions before
            raise InputError(
                f"A model must say its {', '.join(SIZES)}, but {path} says {', '.join(told)} "
                "alone; export it again."
            )
        batch, seq = inputs["input_ids"]
        longest, words, segments = (size_of(path, name, metadata) for name in SIZES)
        most = {"input_ids": words, "token_type_ids": segments}
        return cls(
            shape=(batch, seq) if isinstance(batch, int) and isinstance(seq, int) else None,
            longest=longest,
            limits=tuple((name, limit) for name, limit in most.items() if limit is not None),
        )

    def check(self, inputs: Inputs) -> None:
        """Raise InputError unless names, types, shapes and values fit.

        One pass and no copies: it is part of every run, with caches that the network has filled.
        """
        shape: tuple[int, ...] | None = None
        for name, array in inputs.items():
            if name not in _NAMES or shape not in (None, array.shape):
                raise _misnamed(inputs)
            if array.dtype != np.int64 or array.ndim != 2:
                raise wrong_inputs(inputs, "int64, batch x seq")
            shape = array.shape
        if shape is None or len(inputs) != len(_NAMES):
            raise _misnamed(inputs)
        if self.shape is not None and shape != self.shape:
            raise wrong_inputs(inputs, f"the fixed shape {self.shape}")
        if 0 in shape:
            raise wrong_inputs(inputs, "a batch and a length of at least 1")
        if self.longest is not None and shape[1] > self.longest:
            raise wrong_inputs(inputs, f"from 1 to {self.longest} tokens")
        for name, limit in self.limits:
            # As unsigned numbers, in which negative ones are large: one pass finds both.
            if inputs[name].view(np.uint64).max() >= limit:
                raise wrong_inputs(inputs, f"{name} from 0 to {limit - 1}")


_NAMES = set(INPUTS)


def size_of(path: str, name: str, metadata: Mapping[str, str]) -> int | None:
    """One of SIZES, None where the model of ``path`` does not say; InputError for no number."""
    size = metadata.get(name)
    if size is not None and not re.fullmatch("[0-9]{1,9}", size):
        raise InputError(
            f"A model's {name} must be a whole number of at most 9 digits, but {path} says "
            f"{said(repr(size))}; emit it with fleetfit."
        )
    return None if size is None else int(size)


def _misnamed(inputs: Inputs) -> InputError:
    return wrong_inputs(inputs, f"names {', '.join(INPUTS)}, all of one shape")


def wrong_inputs(inputs: Inputs, wanted: object) -> InputError:
    """The error for inputs that do not fit, or that a runtime refused."""
    shapes = {name: f"{a.dtype}{list(a.shape)}" for name, a in sorted(inputs.items())}
    return InputError(
        f"Inputs must fit the network ({said(wanted)}), but got {shapes}; give inputs of this form."
    )
