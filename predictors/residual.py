"""What a roofline leaves over: boosted trees on log(measured / roofline).

The only user of XGBoost.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fleetfit.errors import InputError
from predictors.conformal import folds_of
from predictors.prediction import FloatArray

__all__ = ["Residual", "fit_residual"]

_MAX_ROUNDS = 80
_FOLDS = 5
_WORTHWHILE = 0.97
"""Trees must lower the cross-validated error at least to this share of it, or there are none."""
_SEED = 0
_THREADS = 1
_PARAMETERS: dict[str, Any] = {
    "objective": "reg:squarederror",
    "eval_metric": "mae",
    "tree_method": "hist",
    "max_depth": 2,
    "eta": 0.1,
    "lambda": 3.0,
    "min_child_weight": 4.0,
    "base_score": 0.0,
    "verbosity": 0,
    "nthread": _THREADS,
    "seed": _SEED,
}


@dataclass(frozen=True, kw_only=True)
class Residual:
    """Trees that correct a roofline; none where they did not help."""

    rounds: int
    booster: Any = None
    """xgboost.Booster, or None for 0 rounds."""

    def log_ratio(self, features: FloatArray) -> FloatArray:
        """Predicted log(measured / roofline), N, from shape features N x F."""
        if self.booster is None:
            return np.zeros(len(features))
        answer = self.booster.inplace_predict(np.ascontiguousarray(features, dtype=np.float32))
        return np.asarray(answer, dtype=np.float64)

    def to_bytes(self) -> bytes:
        """The trees as XGBoost JSON; empty for 0 rounds."""
        return b"" if self.booster is None else bytes(self.booster.save_raw("json"))

    @classmethod
    def from_bytes(cls, data: bytes, *, rounds: int, features: int) -> Residual:
        """Read ``to_bytes``; raises InputError unless it holds so many rounds and features."""
        if rounds == 0:
            return cls(rounds=0)
        import xgboost

        booster = xgboost.Booster({"nthread": _THREADS})
        try:
            booster.load_model(bytearray(data))
            found = booster.num_boosted_rounds(), booster.num_features()
        except (xgboost.core.XGBoostError, ValueError) as exc:
            raise InputError(
                "The trees of a predictor must be XGBoost JSON, but could not be read; "
                "learn the predictor again."
            ) from exc
        if found != (rounds, features):
            raise InputError(
                f"The trees of a predictor must have {rounds} rounds and {features} features, "
                f"but got {found[0]} and {found[1]}; learn the predictor again."
            )
        return cls(rounds=rounds, booster=booster)


def fit_residual(features: FloatArray, log_ratio: FloatArray, weights: FloatArray) -> Residual:
    """Small, strongly regularised trees; their number, 0 allowed, by cross-validation.

    features N x F, log_ratio N = log(measured / roofline), weights N. Deterministic.
    """
    weights = weights / weights.mean()
    error = np.zeros(_MAX_ROUNDS + 1)
    folds = folds_of(np.arange(len(log_ratio)), count=_FOLDS, seed=_SEED)
    for held in folds:
        train = _matrix(features, log_ratio, weights, ~held)
        test = _matrix(features, log_ratio, weights, held)
        history: dict[str, Any] = {}
        _train(train, _MAX_ROUNDS, evals=[(test, "held")], evals_result=history)
        share = weights[held].sum() / weights.sum()
        error[0] += share * np.average(np.abs(log_ratio[held]), weights=weights[held])
        error[1:] += share * np.array(history["held"]["mae"])
    rounds = int(np.argmin(error))
    if rounds == 0 or error[rounds] > _WORTHWHILE * error[0]:
        return Residual(rounds=0)
    everything = np.ones(len(log_ratio), dtype=bool)
    booster = _train(_matrix(features, log_ratio, weights, everything), rounds)
    return Residual(rounds=rounds, booster=booster)


def _matrix(features: FloatArray, y: FloatArray, weights: FloatArray, rows: Any) -> Any:
    import xgboost

    return xgboost.DMatrix(
        features[rows].astype(np.float32), label=y[rows], weight=weights[rows], nthread=_THREADS
    )


def _train(data: Any, rounds: int, **options: Any) -> Any:
    import xgboost

    return xgboost.train(_PARAMETERS, data, rounds, verbose_eval=False, **options)
