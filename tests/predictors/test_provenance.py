from __future__ import annotations

import pytest

from fleetfit import InputError
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


def test_what_differs_from_another_is_named() -> None:
    here = Provenance(device_class="a", versions={"openvino": "1", "onnxruntime": "1"})
    here.check_like(Provenance(device_class="a", versions={"openvino": "1", "tensorrt": "10"}))
    here.check_like(Provenance())
    other = Provenance(device_class="b", versions={"openvino": "2"})
    with pytest.raises(InputError, match="differ: device class a -> b, openvino 1 -> 2; choose"):
        here.check_like(other)
