from __future__ import annotations

from predictors.fake import FAST, device, measurements, networks
from predictors.provenance import Provenance, provenance_of


def test_only_runtimes_that_were_measured_are_kept() -> None:
    got = provenance_of(measurements(networks(2, seed=0), targets=(FAST,)))
    assert got == Provenance(
        device_class=device().device_class,
        versions={"openvino": "2026.4.1"},
    )


def test_a_runtime_that_is_gone_is_stale() -> None:
    got = Provenance(device_class=device().device_class, versions={"tensorrt": "10"})
    assert got.stale(device()) == ("tensorrt 10 -> not installed",)
