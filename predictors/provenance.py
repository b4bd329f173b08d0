"""Where the data of a predictor comes from, and whether it still holds for a device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from fleetfit.comparable import check_comparable, deciding_versions
from fleetfit.device import DeviceInfo
from fleetfit.errors import InputError
from fleetfit.measurement import Measurement

__all__ = ["Provenance", "provenance_of"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Provenance:
    """What must not change if predictions are to hold."""

    device_class: str = ""
    """Empty where the data was given without a device."""
    versions: dict[str, str] = field(default_factory=dict)
    """Name to version, of the runtimes that were measured and of drivers that decide the cost."""

    def stale(self, device: DeviceInfo) -> tuple[str, ...]:
        """What differs on ``device``, as in ``openvino 2026.4.1 -> 2026.5.0``; empty: nothing."""
        changes = []
        if self.device_class != device.device_class:
            changes.append(f"device class {self.device_class or 'none'} -> {device.device_class}")
        for name, version in sorted(self.versions.items()):
            now = device.versions.get(name, "not installed")
            if now != version:
                changes.append(f"{name} {version} -> {now}")
        return tuple(changes)

    def check_like(self, other: Provenance) -> None:
        """Raise InputError that names what differs, of the device class and versions of both.

        Nothing is known to differ where the data of either was given without a device.
        """
        changes = []
        if self.device_class and other.device_class and self.device_class != other.device_class:
            changes.append(f"device class {self.device_class} -> {other.device_class}")
        for name in sorted(self.versions.keys() & other.versions.keys()):
            if self.versions[name] != other.versions[name]:
                changes.append(f"{name} {self.versions[name]} -> {other.versions[name]}")
        if changes:
            raise InputError(
                "Measurements must be of the device class and versions that the predictor was "
                f"learned from, but differ: {', '.join(changes)}; choose others or learn again."
            )


def provenance_of(measurements: Sequence[Measurement]) -> Provenance:
    """The one provenance of all; raises InputError that names the values where they are mixed."""
    check_comparable(measurements)
    classes = sorted({one.device.device_class for one in measurements})
    if len(classes) != 1:
        raise InputError(
            "Measurements must share one device class, but got "
            f"{', '.join(classes) or 'none'}; choose one of them."
        )
    versions: dict[str, str] = {}
    for one in measurements:
        versions |= deciding_versions(one)
    return Provenance(device_class=classes[0], versions=versions)
