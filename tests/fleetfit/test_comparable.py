from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from fleetfit import DeviceInfo, InputError, Job, Measurement, Query, Target, Workload
from fleetfit.comparable import check_comparable, deciding_versions
from tests.conftest import build_tiny_source

DEVICE = DeviceInfo(
    name="a", cpu_model="c", cpu_flags=(), cores=2, memory_bytes=2**30, machine="x86_64",
    system="Linux", versions={"onnxruntime": "1.31.1", "openvino": "2026.4.1"},
)  # fmt: skip


def measured(versions: dict[str, str], *, runtime: Any = "onnxruntime", **job: Any) -> Measurement:
    query = Query(
        architecture=build_tiny_source(), target=Target(runtime=runtime), workload=Workload()
    )
    kind = Job(query=query, protocol="survey", protocol_version=2)
    return Measurement(
        job=dataclasses.replace(kind, **job),
        device=DEVICE,
        samples_s=((0.01,),),
        memory_bytes=None,
        memory_above_imports_bytes=None,
        file_bytes=1,
        load_s=0.1,
        versions=versions,
    )


ONE = measured({"onnxruntime": "1.31.1"})


@pytest.mark.parametrize(
    ("other", "named"),
    [
        (measured({"onnxruntime": "1.32.0"}), "version of onnxruntime, but got 1.31.1, 1.32.0"),
        (
            measured({"onnxruntime": "1.31.1"}, protocol_version=3),
            "version of the survey protocol, but got 2, 3",
        ),
        (
            measured({"onnxruntime": "1.31.1", "nvidia driver": "580"}),
            "version of nvidia driver, but got 580, unknown",
        ),
    ],
)
def test_what_differs_is_named_unless_a_mix_is_asked_for(other: Measurement, named: str) -> None:
    with pytest.raises(InputError, match=named):
        check_comparable([ONE, other])
    check_comparable([ONE, other], mixed=True)
    check_comparable([other, other])


def test_everything_that_differs_is_named_at_once() -> None:
    other = measured({"onnxruntime": "1.32.0"}, protocol_version=3)
    with pytest.raises(
        InputError, match=r"onnxruntime, but .*, and one version of the survey protocol, but "
    ):
        check_comparable([ONE, other])


@pytest.mark.parametrize(
    "other",
    [
        measured({"openvino": "2026.4.1"}, runtime="openvino"),
        measured({"onnxruntime": "1.31.1"}, protocol="verify", protocol_version=1),
        measured({"onnxruntime": "1.31.1", "openvino": "2025.0"}),  # which has run nothing
        measured({}),  # its device has the same one
    ],
)
def test_what_may_stand_side_by_side(other: Measurement) -> None:
    check_comparable([ONE, other])
    check_comparable([])


def test_versions_that_decide() -> None:
    given = {"onnxruntime": "1", "openvino": "2", "driver": "3"}
    assert deciding_versions(measured(given)) == {"onnxruntime": "1", "driver": "3"}
    bare = dataclasses.replace(measured({}), device=dataclasses.replace(DEVICE, versions={}))
    assert deciding_versions(bare) == {"onnxruntime": "unknown"}
