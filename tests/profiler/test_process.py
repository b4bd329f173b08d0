"""Which windows count as disturbed: by hand."""

from __future__ import annotations

import dataclasses

import pytest

from fleetfit import Health, InputError, Window
from profiler.process import Process, tagged
from profiler.protocol import DisturbanceLimits

LIMITS = DisturbanceLimits()
CALM = Window(samples=10, steal=0.0, other_load=0.02, waiting=0.01, switches=3, reference_s=0.0031)


def process(*windows: Window) -> Process:
    count = sum(w.samples for w in windows)
    return Process(
        samples_s=(0.01,) * count,
        windows=windows,
        settled=True,
        steady=True,
        import_s=0.1,
        load_s=0.1,
        first_run_s=0.1,
        health=Health(),
        properties={},
    )


@pytest.mark.parametrize(
    ("change", "tag"),
    [
        ({"steal": 0.011}, "steal"),
        ({"other_load": 0.11}, "other load"),
        ({"waiting": 0.11}, "waiting"),
        ({"switches": 2 * 3 + 21}, "switches"),
        ({"reference_s": 0.0031 * 1.11}, "reference"),
        ({"reference_s": 0.0031 * 0.89}, "reference"),
        ({"clock_share": 0.74}, "clock"),
    ],
)
def test_a_cause_above_its_limit_is_a_tag(change: dict[str, float], tag: str) -> None:
    hit = dataclasses.replace(CALM, **change)  # type: ignore[arg-type]
    found = tagged(process(CALM, hit, CALM), LIMITS, cores=2, usual_s=0.0031)
    assert [w.tags for w in found.windows] == [(), (tag,), ()]


def test_what_is_not_known_is_no_tag() -> None:
    blank = Window(samples=5)
    assert tagged(process(blank), LIMITS, cores=2, usual_s=0.003).windows == (blank,)
    off = dataclasses.replace(CALM, reference_s=1.0)
    assert tagged(process(off), LIMITS, cores=2, usual_s=None).windows == (off,)


def test_others_may_use_a_twentieth_of_a_large_machine() -> None:
    busy = dataclasses.replace(CALM, other_load=3.0)
    assert tagged(process(busy), LIMITS, cores=64, usual_s=None).windows[0].tags == ()
    assert tagged(process(busy), LIMITS, cores=32, usual_s=None).windows[0].tags == ("other load",)


def test_more_than_a_quarter_of_the_windows_disturbs_the_process() -> None:
    hit = dataclasses.replace(CALM, tags=("steal",))
    assert not process(CALM, CALM, CALM, hit).disturbed(LIMITS)
    assert process(CALM, CALM, hit).disturbed(LIMITS)


def test_every_sample_belongs_to_a_window() -> None:
    with pytest.raises(InputError, match="windows of a process"):
        dataclasses.replace(process(CALM), samples_s=(0.01,) * 9)
    with pytest.raises(InputError, match="positive"):
        dataclasses.replace(process(CALM), samples_s=(0.0,) * 10)
