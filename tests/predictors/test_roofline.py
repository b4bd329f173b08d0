from __future__ import annotations

import numpy as np
import pytest

from fleetfit import InputError
from predictors.roofline import Roofline, fit_roofline

PRICES = np.array([2.0, 0.0, 5e-9])


def _amounts(count: int = 40) -> np.ndarray:
    rng = np.random.default_rng(0)
    return np.stack([np.ones(count), rng.uniform(0, 1, count), rng.uniform(0, 4e9, count)], axis=1)


def test_known_prices_are_recovered() -> None:
    amounts = _amounts()
    got = fit_roofline(amounts, amounts @ PRICES, np.ones(40))
    np.testing.assert_allclose(got.prices, PRICES, rtol=1e-6, atol=1e-12)


def test_prices_are_never_negative() -> None:
    amounts = _amounts()
    y = amounts @ np.array([8.0, -3.0, 5e-9])
    assert min(fit_roofline(amounts, y, np.ones(40)).prices) >= 0


def test_one_disturbed_row_hardly_moves_the_prices() -> None:
    amounts = _amounts()
    y = amounts @ PRICES * np.exp(np.random.default_rng(1).normal(0, 0.01, 40))
    clean = fit_roofline(amounts, y, np.ones(40)).cost(amounts)
    y[7] *= 3
    np.testing.assert_allclose(
        fit_roofline(amounts, y, np.ones(40)).cost(amounts), clean, rtol=0.02
    )


def test_the_error_is_relative() -> None:
    # Two rows, one constant: least squares of c / y - 1 gives c = sum(1/y) / sum(1/y^2).
    y = np.array([1.0, 1.1])
    expected = (1 / y).sum() / (1 / y**2).sum()
    got = fit_roofline(np.ones((2, 1)), y, np.ones(2))
    assert got.prices[0] == pytest.approx(expected)


def test_a_network_without_priced_terms_costs_the_floor() -> None:
    line = Roofline(prices=(0.0, 2.0), floor=0.25)
    np.testing.assert_array_equal(line.cost(np.array([[1.0, 0.0], [1.0, 3.0]])), [0.25, 6.0])


@pytest.mark.parametrize("prices", [(-1.0, 2.0), (0.0, 0.0), (float("nan"), 1.0)])
def test_prices_that_cannot_be_are_refused(prices: tuple[float, ...]) -> None:
    with pytest.raises(InputError, match="Prices of a roofline"):
        Roofline(prices=prices, floor=1.0)


def test_a_floor_of_zero_is_refused() -> None:
    with pytest.raises(InputError, match="floor"):
        Roofline(prices=(1.0,), floor=0.0)
