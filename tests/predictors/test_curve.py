from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetfit import InputError, Measurement
from predictors import LearningCurve, learn, learning_curves
from predictors.curve import fit_law
from predictors.fake import FAST, SLOW, WORKLOAD, measurements, networks


def curve(**changes: object) -> LearningCurve:
    """5 % with 40 networks, 3 % with any number, and noise of 2 %."""
    made = LearningCurve(
        metric="latency_p50",
        target=FAST,
        workload=WORKLOAD,
        networks=(20, 40),
        errors=(0.064, 0.05),
        floor=0.03,
        slope=0.04**2 * 40,
        noise=0.02,
    )
    return dataclasses.replace(made, **changes)  # type: ignore[arg-type]


@given(
    floor=st.floats(0, 0.2),
    slope=st.floats(0, 10),
    networks=st.lists(st.integers(5, 500), min_size=2, max_size=6, unique=True),
)
def test_data_of_the_law_gives_the_law_back(
    floor: float, slope: float, networks: list[int]
) -> None:
    n = np.sort(np.array(networks, dtype=np.float64))
    errors = np.sqrt(floor**2 + slope / n)
    law = fit_law(n, errors)
    assert law is not None
    found, rise = law
    np.testing.assert_allclose(np.sqrt(found**2 + rise / n), errors, rtol=1e-5, atol=1e-9)


def test_a_rising_error_promises_nothing() -> None:
    law = fit_law(np.array([20.0, 40.0]), np.array([0.03, 0.05]))
    assert law is not None
    assert law[1] == 0


def test_one_point_says_nothing_of_the_slope() -> None:
    assert fit_law(np.array([10.0]), np.array([0.03])) is None
    unknown = curve(networks=(10,), errors=(0.03,), floor=None, slope=None)
    assert not unknown.is_known
    with pytest.raises(InputError, match=r"must have two sizes .* but has 1; profile more"):
        unknown.error_with(20)
    with pytest.raises(InputError, match="must have two sizes"):
        unknown.networks_for(0.02)
    assert unknown.networks_for(0.03) == 10  # it is there already


def test_the_error_to_expect_by_hand() -> None:
    # sqrt(0.03^2 + 0.04^2 / 2)
    assert curve().error_with(80) == pytest.approx(np.sqrt(0.0009 + 0.0008))
    assert curve().error_with(40) == 0.05


def test_no_promise_below_the_noise_nor_above_now() -> None:
    # Normal noise leaves a mean error of sqrt(2 / pi) of its deviation.
    least = math.sqrt(2 / math.pi) * 0.04
    assert curve(floor=0.0, noise=0.04).error_with(10**6) == pytest.approx(least)
    assert curve(noise=0.2).error_with(10**6) == 0.05  # it is there already
    assert curve(noise=None, floor=0.0).error_with(10**9) < 0.001
    assert curve(floor=0.0, slope=0.0).error_with(80) == 0.05


@given(wanted=st.floats(0.031, 0.049))
def test_so_many_do_and_one_less_does_not(wanted: float) -> None:
    needed = curve().networks_for(wanted)
    assert needed is not None
    assert curve().error_with(needed) <= wanted + 1e-12
    assert needed == 41 or curve().error_with(needed - 1) > wanted - 1e-12


def test_what_no_number_reaches() -> None:
    assert curve().networks_for(0.029) is None
    assert curve(floor=0.0).networks_for(0.015) is None  # below what noise alone leaves
    assert curve().networks_for(0.05) == 40


@pytest.mark.parametrize("changes", [{"networks": (40,)}, {"networks": (), "errors": ()}])
def test_points_must_fit(changes: dict[str, object]) -> None:
    with pytest.raises(InputError, match="for each number"):
        curve(**changes)
    with pytest.raises(InputError, match="negative"):
        curve(slope=-1.0)
    with pytest.raises(InputError, match="both floor and slope or neither"):
        curve(slope=None)
    with pytest.raises(InputError, match="networks >= 1"):
        curve().error_with(0)


def _rows(count: int, noise: float = 0.02) -> list[Measurement]:
    return measurements(networks(count, seed=0), noise=noise)


def test_each_target_has_a_curve_that_ends_in_its_report() -> None:
    predictor, reports = learn(_rows(30), "latency_p50", folds=4)
    curves = learning_curves(predictor, _rows(30))
    assert [c.target for c in curves] == [FAST, SLOW]
    for found, report in zip(curves, reports, strict=True):
        assert found.networks == (12, 18, 24, 30)
        assert found.error == report.errors.mape
        assert found.noise == report.noise
    assert learning_curves(predictor, _rows(30)) == curves


def test_shares_of_too_few_networks_are_left_out() -> None:
    predictor, _ = learn(_rows(12), "latency_p50", folds=3)
    curves = learning_curves(predictor, _rows(12))
    assert [(c.networks, c.is_known) for c in curves] == [((12,), False)] * 2


def test_what_is_promised_comes_true() -> None:
    predictor, _ = learn(_rows(40), "latency_p50")
    promised = learning_curves(predictor, _rows(40))
    _, later = learn(_rows(80), "latency_p50")
    for found, report in zip(promised, later, strict=True):
        assert found.error_with(80) == pytest.approx(report.errors.mape, rel=0.3)
