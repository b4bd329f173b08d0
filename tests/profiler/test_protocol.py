from __future__ import annotations

import dataclasses

import pytest

from fleetfit import (
    Architecture,
    DeviceInfo,
    InputError,
    Job,
    Measurement,
    ProtocolName,
    Query,
    Target,
    Workload,
    digest,
    dumps,
    loads,
)
from profiler import SurveyProtocol, VerifyProtocol, is_present


@pytest.mark.parametrize("protocol", [SurveyProtocol(), VerifyProtocol()])
def test_protocols_survive_json(protocol: SurveyProtocol | VerifyProtocol) -> None:
    assert loads(type(protocol), dumps(protocol)) == protocol


def test_the_constants_are_those_of_the_design() -> None:
    survey, verify = SurveyProtocol(), VerifyProtocol()
    # The design's "twice or more" and "about 0.4 s" a visit; here the time of a configuration is
    # cut into more visits, for what docs/experiments.md found.
    assert survey.visits >= 2
    assert survey.visits * survey.sample_s >= 0.4
    assert (survey.warmup_runs, survey.warmup_s) == (10, 0.1)
    assert (survey.reference_every_s, survey.inputs) == (15, 8)
    assert (verify.processes, verify.warmup_runs, verify.warmup_s) == (3, 10, 0.5)
    assert (verify.sample_s, verify.min_samples, verify.half_width) == (2, 64, 0.02)
    assert (verify.window_ratio, verify.cap_s) == (1.10, 20)


def test_a_version_stands_for_its_constants() -> None:
    """Who changes one must count the version up: rows of a version are compared as equals."""
    pinned = {"survey": (5, "8d1c47d3a2cc760e"), "verify": (4, "d1c9d32f951fe429")}
    survey, verify = SurveyProtocol(), VerifyProtocol()
    assert (survey.version, digest(survey)) == pinned["survey"]
    assert (verify.version, digest(verify)) == pinned["verify"]


def test_nothing_is_negative_or_zero() -> None:
    with pytest.raises(InputError, match="visits must be above 0"):
        SurveyProtocol(visits=0)
    with pytest.raises(InputError, match="cap_s must be above 0"):
        VerifyProtocol(cap_s=-1.0)


@pytest.mark.parametrize("name", ["survey", "verify"])
def test_only_todays_protocols_and_versions_are_present(
    name: ProtocolName, tiny_source: Architecture, device: DeviceInfo
) -> None:
    version = (SurveyProtocol() if name == "survey" else VerifyProtocol()).version
    target = Target(runtime="onnxruntime")
    query = Query(architecture=tiny_source, target=target, workload=Workload())
    found = Measurement(
        job=Job(query=query, protocol=name, protocol_version=version),
        device=device,
        samples_s=((0.01,),),
        memory_bytes=None,
        memory_above_imports_bytes=None,
        file_bytes=10,
        load_s=0.1,
        versions={"onnxruntime": device.versions["onnxruntime"]},
    )
    assert is_present(found, device)
    assert not is_present(dataclasses.replace(found, versions={"onnxruntime": "0"}), device)
    older = dataclasses.replace(found.job, protocol_version=version - 1)
    assert not is_present(dataclasses.replace(found, job=older), device)
