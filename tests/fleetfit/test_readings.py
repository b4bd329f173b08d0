"""What is read beside the samples."""

from __future__ import annotations

import pytest

from fleetfit import GpuUse, InputError, MemoryReading, Window, dumps, loads
from fleetfit.readings import calm_samples


def test_calm_samples_are_those_of_untagged_windows() -> None:
    windows = (Window(samples=2), Window(samples=1, tags=("steal",)), Window(samples=2))
    assert calm_samples((1.0, 2.0, 3.0, 4.0, 5.0), windows) == (1.0, 2.0, 4.0, 5.0)
    assert calm_samples((1.0,), (Window(samples=1, tags=("steal",)),)) == ()


@pytest.mark.parametrize(
    "value",
    [
        MemoryReading(stage="load", peak_bytes=10, resident_bytes=5),
        Window(samples=3, steal=0.5, tags=("steal", "waiting")),
        GpuUse(name="NVIDIA", throttle=("power",), memory_bytes=1, memory_method="process"),
    ],
)
def test_readings_survive_json(value: MemoryReading | Window | GpuUse) -> None:
    assert loads(type(value), dumps(value)) == value


def test_readings_are_checked() -> None:
    with pytest.raises(InputError, match="at least 1 byte"):
        MemoryReading(stage="load", peak_bytes=0)
    with pytest.raises(InputError, match="no negative size"):
        MemoryReading(stage="load", peak_bytes=1, unique_bytes=-1)
    with pytest.raises(InputError, match="stage must be one of"):
        MemoryReading(stage="nap", peak_bytes=1)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="must hold samples"):
        Window(samples=0)
    with pytest.raises(InputError, match="memory_method"):
        GpuUse(name="NVIDIA", memory_method="guess")  # type: ignore[arg-type]
