from __future__ import annotations

from fleetfit import DeviceInfo, Target
from profiler import Store
from profiler.protocol import DisturbanceLimits
from profiler.usual import Usual

LIMITS = DisturbanceLimits(least_references=3)
TARGET, OTHER = Target(runtime="onnxruntime"), Target(runtime="onnxruntime", threads=2)


def test_too_few_readings_tell_nothing(device: DeviceInfo) -> None:
    usual = Usual(device, LIMITS, None)
    for reading in (1.0, 3.0):
        usual.add(TARGET, reading)
    assert usual.level_s(TARGET) is None
    usual.add(TARGET, 2.0)
    assert usual.level_s(TARGET) == 2.0
    assert usual.level_s(OTHER) is None


def test_the_store_remembers(device: DeviceInfo, store: Store) -> None:
    first = Usual(device, LIMITS, store)
    for reading in (1.0, 2.0, 3.0):
        first.add(TARGET, reading)
    later = Usual(device, LIMITS, store)
    assert later.level_s(TARGET) == 2.0
    later.add(TARGET, 10.0)
    assert later.level_s(TARGET) == 2.5


def test_after_a_lasting_change_the_level_follows(device: DeviceInfo) -> None:
    usual = Usual(device, LIMITS, None)
    for _ in range(500):
        usual.add(TARGET, 1.0)
    for _ in range(60):
        usual.add(TARGET, 2.0)
    assert usual.level_s(TARGET) == 2.0
