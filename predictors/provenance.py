"""Where the data of a predictor comes from, and whether it still holds for a device."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

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
    """Runtime name to version, of the runtimes that were measured."""

    def stale(self, device: DeviceInfo) -> tuple[str, ...]:
        """What differs on ``device``, as in ``openvino 2026.4.1 -> 2026.5.0``; empty: nothing."""
        changes = []
        if self.device_class != device.device_class:
            changes.append(f"device class {self.device_class or 'none'} -> {device.device_class}")
        for runtime, version in sorted(self.versions.items()):
            now = device.versions.get(runtime, "not installed")
            if now != version:
                changes.append(f"{runtime} {version} -> {now}")
        return tuple(changes)


def provenance_of(measurements: Sequence[Measurement]) -> Provenance:
    """The one provenance of all; raises InputError that names the values where they are mixed."""
    device_class = _only(measurements, lambda m: m.device.device_class, "device class")
    versions: dict[str, str] = {}
    for runtime in sorted({m.job.query.target.runtime for m in measurements}):
        rows = [m for m in measurements if m.job.query.target.runtime == runtime]
        versions[runtime] = _only(rows, lambda m: _version(m), f"version of {runtime}")
    for protocol in sorted({m.job.protocol for m in measurements}):
        rows = [m for m in measurements if m.job.protocol == protocol]
        what = f"version of the {protocol} protocol"
        _only(rows, lambda m: str(m.job.protocol_version), what)
    return Provenance(device_class=device_class, versions=versions)


def _version(measurement: Measurement) -> str:
    runtime = measurement.job.query.target.runtime
    own = measurement.device.versions.get(runtime)
    return own or measurement.versions.get(runtime, "unknown")


def _only(
    measurements: Sequence[Measurement], pick: Callable[[Measurement], str], what: str
) -> str:
    found = sorted({pick(m) for m in measurements})
    if len(found) != 1:
        raise InputError(
            f"Measurements to learn from must share one {what}, but got {', '.join(found)}; "
            "choose one of them."
        )
    return found[0]
