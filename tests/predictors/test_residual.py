from __future__ import annotations

import numpy as np
import pytest

from fleetfit import InputError
from predictors.residual import Residual, fit_residual


def _features(count: int = 80) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 6, size=(count, 4)).astype(float)


def _step(features: np.ndarray) -> np.ndarray:
    return np.where(features[:, 1] > 2, 0.15, -0.05)


def test_a_step_is_learned() -> None:
    features = _features()
    got = fit_residual(features, _step(features), np.ones(80))
    fresh = _features(200)
    assert got.rounds > 0
    assert np.abs(got.log_ratio(fresh) - _step(fresh)).mean() < 0.02


@pytest.mark.parametrize("seed", range(3))
def test_pure_noise_is_left_alone_or_hardly_touched(seed: int) -> None:
    noise = np.random.default_rng(seed).normal(0, 0.02, 80)
    got = fit_residual(_features(), noise, np.ones(80))
    assert np.abs(got.log_ratio(_features())).mean() < 0.01


def test_equal_seeds_give_equal_bytes() -> None:
    features = _features()
    y = _step(features)
    first, second = (fit_residual(features, y, np.ones(80)) for _ in range(2))
    assert first.to_bytes() == second.to_bytes()


def test_bytes_give_the_same_trees_back() -> None:
    features = _features()
    got = fit_residual(features, _step(features), np.ones(80))
    back = Residual.from_bytes(got.to_bytes(), rounds=got.rounds, features=4)
    np.testing.assert_array_equal(back.log_ratio(features), got.log_ratio(features))


def test_no_rounds_need_no_bytes() -> None:
    none = Residual.from_bytes(b"", rounds=0, features=4)
    assert none.to_bytes() == b""
    np.testing.assert_array_equal(none.log_ratio(_features()), np.zeros(80))


def test_other_numbers_of_rounds_or_features_are_refused() -> None:
    features = _features()
    got = fit_residual(features, _step(features), np.ones(80))
    with pytest.raises(InputError, match="rounds and 5 features"):
        Residual.from_bytes(got.to_bytes(), rounds=got.rounds, features=5)


@pytest.mark.parametrize("data", [b"{", b"{}", b"not json", b"[1,2]"])
def test_bytes_that_are_no_trees_are_refused(data: bytes) -> None:
    with pytest.raises(InputError, match=r"XGBoost JSON|rounds"):
        Residual.from_bytes(data, rounds=3, features=4)
