"""A device class hashes what decides speed, and nothing else."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given

from fleetfit import DeviceInfo, Health
from tests.fleetfit.strategies import assert_round_trip, devices, healths

DEVICE = DeviceInfo(
    name="lab-1",
    cpu_model="Model X",
    cpu_flags=("avx2", "avx512f"),
    cores=4,
    memory_bytes=2**33,
    machine="x86_64",
    system="Linux",
)


@given(devices)
def test_device_round_trip(device: DeviceInfo) -> None:
    assert_round_trip(device)


@given(healths)
def test_health_round_trip(health: Health) -> None:
    assert_round_trip(health)


@pytest.mark.parametrize(
    "fields",
    [
        {"cpu_model": "Model Y"},
        {"cpu_flags": ("avx2",)},
        {"cores": 2},
        {"machine": "aarch64"},
        {"gpus": ("GPU",)},
    ],
)
def test_what_decides_speed_makes_another_class(fields: dict[str, Any]) -> None:
    assert dataclasses.replace(DEVICE, **fields).device_class != DEVICE.device_class


@pytest.mark.parametrize(
    "fields", [{"name": "lab-2"}, {"versions": {"openvino": "1"}}, {"memory_bytes": 2**34}]
)
def test_what_does_not_decide_speed_keeps_the_class(fields: dict[str, Any]) -> None:
    assert dataclasses.replace(DEVICE, **fields).device_class == DEVICE.device_class


@pytest.mark.parametrize("flag", ["avx512_bf16", "amx_bf16", "bf16"])
def test_bf16_is_read_from_the_flags(flag: str) -> None:
    assert not DEVICE.has_bf16
    assert dataclasses.replace(DEVICE, cpu_flags=("avx2", flag)).has_bf16
