"""The sentence about further measurements."""

from __future__ import annotations

import dataclasses

import pytest

from fleetfit import Target, Workload
from predictors import LearningCurve
from search.cli.outlook import say_outlook, sentence

CURVE = LearningCurve(
    metric="latency_p50",
    target=Target(runtime="openvino", precision="bf16"),
    workload=Workload(),
    networks=(20, 40),
    errors=(0.064, 0.05),
    floor=0.03,
    slope=0.04**2 * 40,
    noise=0.02,
)


def test_so_many_more_and_what_they_bring() -> None:
    assert sentence(CURVE) == (
        "5.0% now with 40 networks; 40 more would bring it to about 4.1%, "
        "the measurement noise is 2.0%."
    )


def test_no_gain_is_said() -> None:
    flat = dataclasses.replace(CURVE, slope=0.0, noise=None)
    assert sentence(flat) == "5.0% now with 40 networks; 40 more would hardly change it."


def test_of_too_few_networks_nothing_is_promised() -> None:
    few = dataclasses.replace(CURVE, networks=(10,), errors=(0.05,), floor=None, slope=None)
    wanted = (
        "5.0% now with 10 networks; too few networks to tell what more would buy, "
        "the measurement noise is 2.0%."
    )
    assert sentence(few) == wanted
    assert sentence(few, wanted=0.03) == wanted


@pytest.mark.parametrize(
    ("wanted", "end"),
    [
        (0.06, "the measurement noise is 2.0%."),
        (0.04, "; 4.0% would take about 92."),
        (0.0301, "; more networks would not bring it to 3.0%."),  # ten times as many would not do
        (0.01, "; more networks would not bring it to 1.0%."),
    ],
)
def test_how_many_an_error_takes(wanted: float, end: str) -> None:
    assert sentence(CURVE, wanted=wanted).endswith(end)


def test_workloads_are_named_where_there_are_several(capsys: pytest.CaptureFixture[str]) -> None:
    other = dataclasses.replace(CURVE, workload=Workload(seq_len=32))
    say_outlook([CURVE])
    assert capsys.readouterr().err.startswith("openvino-bf16-1t: 5.0% now")
    say_outlook([CURVE, other])
    assert "openvino-bf16-1t (batch 1, 32 tokens): 5.0% now" in capsys.readouterr().err
