"""Differences of repeated measurements against a computation by hand."""

from __future__ import annotations

import dataclasses

import pytest

from fleetfit import DeviceInfo, InputError, Job, Measurement, Query, Target, Workload
from profiler.floor import NoiseFloor, noise_floors
from supernet.spaces import ElasticSpace

TARGET = Target(runtime="onnxruntime")


def row(space: ElasticSpace, device: DeviceInfo, latency_s: float) -> Measurement:
    query = Query(architecture=space.largest(), target=TARGET, workload=Workload())
    return Measurement(
        job=Job(query=query, protocol="survey"),
        device=device,
        samples_s=((latency_s,),),
        memory_bytes=None,
        memory_above_imports_bytes=None,
        file_bytes=1,
        load_s=0.1,
    )


def test_each_row_is_compared_with_the_one_before(space: ElasticSpace, device: DeviceInfo) -> None:
    repeated = [[row(space, device, s) for s in (0.9, 1.1, 1.1)], [row(space, device, 1.0)] * 2]
    (floor,) = noise_floors(repeated)
    assert (floor.protocol, floor.target, floor.pairs) == ("survey", TARGET, 3)
    assert floor.median == 0.0  # of 0.2, 0 and 0
    assert floor.p95 == pytest.approx(0.2)


def test_only_rows_that_are_ok_are_compared(space: ElasticSpace, device: DeviceInfo) -> None:
    first, off, again = (row(space, device, s) for s in (0.9, 9.0, 1.1))
    noisy = dataclasses.replace(off, status="noisy")
    unstable = dataclasses.replace(off, status="unstable")
    (floor,) = noise_floors([[first, noisy, unstable, again], [noisy, again]])
    assert floor.pairs == 1
    assert floor.p95 == pytest.approx(0.2)
    assert noise_floors([[first, noisy]]) == ()


def test_other_machines_and_versions_have_floors_of_their_own(
    space: ElasticSpace, device: DeviceInfo
) -> None:
    here = [row(space, device, s) for s in (0.9, 1.1)]
    elsewhere = dataclasses.replace(device, name="other")
    with pytest.raises(InputError, match=r"one machine, but got .*other.*; choose one"):
        noise_floors([here, [row(space, elsewhere, 1.0)] * 2])
    newer = dataclasses.replace(device, versions={"onnxruntime": "9.9"})
    with pytest.raises(InputError, match="version of onnxruntime"):
        noise_floors([here, [row(space, newer, 1.0)] * 2])


def test_nothing_repeated_has_no_floor() -> None:
    assert noise_floors([]) == ()


def test_a_floor_without_pairs_is_refused() -> None:
    with pytest.raises(InputError, match="must have pairs"):
        NoiseFloor(
            protocol="survey", target=TARGET, workload=Workload(), pairs=0, median=0.0, p95=0.0
        )
