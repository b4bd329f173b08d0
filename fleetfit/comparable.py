"""Which measurements may stand side by side: the one gate for whatever aggregates them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

from fleetfit.errors import InputError
from fleetfit.measurement import Measurement
from fleetfit.query import RuntimeName

__all__ = ["check_comparable", "deciding_versions"]


def check_comparable(measurements: Sequence[Measurement], *, mixed: bool = False) -> None:
    """Raise InputError that names what differs where versions are mixed; not with ``mixed``.

    Of each protocol, and of each runtime and driver within a runtime and provider, there must be
    one version. Different protocols, runtimes, devices and workloads may stand side by side: they
    are told apart by columns that everybody looks at.
    """
    found: dict[str, set[str]] = {}
    for one in measurements:
        protocol = f"version of the {one.job.protocol} protocol"
        found.setdefault(protocol, set()).add(str(one.job.protocol_version))
    by_target: dict[tuple[str, str], list[dict[str, str]]] = {}
    for one in measurements:
        target = one.job.query.target
        versions = deciding_versions(one)
        by_target.setdefault((target.runtime, target.provider), []).append(versions)
    for rows in by_target.values():
        for name in {name for row in rows for name in row}:
            values = {row.get(name, "unknown") for row in rows}
            found.setdefault(f"version of {name}", set()).update(values)
    differing = [
        f"one {what}, but got {', '.join(sorted(values))}"
        for what, values in sorted(found.items())
        if len(values) > 1
    ]
    if differing and not mixed:
        raise InputError(f"Measurements must share {', and '.join(differing)}; choose one of them.")


def deciding_versions(measurement: Measurement) -> dict[str, str]:
    """Versions that decide what was measured: of the runtime, and of a driver where there is one.

    Those of other runtimes are left out: early verifications named them all.
    """
    runtime = measurement.job.query.target.runtime
    others = set(get_args(RuntimeName)) - {runtime}
    known = {name: v for name, v in measurement.versions.items() if name not in others}
    own = measurement.device.versions.get(runtime, "unknown")
    return {runtime: own} | known
