"""One health for several readings."""

from __future__ import annotations

from collections.abc import Sequence

from fleetfit import Health

__all__ = ["worst_health"]


def worst_health(readings: Sequence[Health]) -> Health:
    """The largest of each value; the last reading of the reference."""

    def largest(values: list[float | None]) -> float | None:
        return max((v for v in values if v is not None), default=None)

    return Health(
        load_1m=largest([r.load_1m for r in readings]),
        steal=largest([r.steal for r in readings]),
        pressure=largest([r.pressure for r in readings]),
        other_load=largest([r.other_load for r in readings]),
        reference_s=readings[-1].reference_s,
    )
