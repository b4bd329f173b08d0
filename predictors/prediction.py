"""What a predictor answers: a mean and an interval for each network."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fleetfit.errors import InputError

__all__ = ["BoolArray", "FloatArray", "Prediction"]

BoolArray = npt.NDArray[np.bool_]
FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, slots=True)
class Prediction:
    """Predicted values of N networks, in SI units (seconds, bytes, counts)."""

    mean: FloatArray
    """N; the most likely value."""
    lower: FloatArray
    """N; lower end of the 90 % interval of what would be measured; the mean where it is exact."""
    upper: FloatArray
    """N; upper end; a search compares this end with an upper limit."""

    def __post_init__(self) -> None:
        """Three arrays of one length, in order."""
        if self.mean.ndim != 1 or not self.mean.shape == self.lower.shape == self.upper.shape:
            shapes = (self.mean.shape, self.lower.shape, self.upper.shape)
            raise InputError(f"mean, lower and upper must be arrays of shape N, but got {shapes}.")
        if not ((self.lower <= self.mean) & (self.mean <= self.upper)).all():
            raise InputError("`lower <= mean <= upper` must hold for each row, but does not.")

    def __len__(self) -> int:
        """Number of networks N."""
        return len(self.mean)

    @classmethod
    def exact(cls, values: npt.ArrayLike) -> Prediction:
        """Values without uncertainty."""
        mean = np.asarray(values, dtype=np.float64)
        return cls(mean=mean, lower=mean, upper=mean)
