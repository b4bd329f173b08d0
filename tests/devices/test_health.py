from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices import HealthMeter
from devices.health import parse_pressure


def test_steal_is_the_share_since_the_reading_before(tmp_path: Path) -> None:
    (tmp_path / "stat").write_text("cpu  100 0 0 100 0 0 0 10 0 0\n")
    meter = HealthMeter(proc=tmp_path)
    (tmp_path / "stat").write_text("cpu  150 0 0 130 0 0 0 30 0 0\n")
    health = meter.read()
    assert health.steal == pytest.approx(0.2)
    assert health.other_load is not None
    assert meter.read().steal is None  # no tick has passed


def test_pressure_is_a_share() -> None:
    text = "some avg10=12.50 avg60=1.00 total=1\nfull avg10=0.00 avg60=0.00 total=0\n"
    assert parse_pressure(text) == 0.125


def test_a_system_without_the_files_gives_none(tmp_path: Path) -> None:
    health = HealthMeter(proc=tmp_path).read()
    assert (health.load_1m, health.steal, health.pressure) == (None, None, None)
    assert health.other_load is None


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    share = parse_pressure(text)
    assert share is None or "some" in text
