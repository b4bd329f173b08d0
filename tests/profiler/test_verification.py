"""When processes are enough and what is flagged: made by hand, nothing is run."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import pytest

from exporters import Artifact
from fleetfit import DeviceInfo, GpuUse, Health, Job, Measurement, Query, Target, Window, Workload
from profiler import VerifyProtocol
from profiler.process import Process
from profiler.requests import Prepared, VerifyRequest
from profiler.verification import Verification
from supernet.spaces import ElasticSpace

TARGET = Target(runtime="onnxruntime")


def process(
    latency_s: float, *, tagged: int = 0, settled: bool = True, steady: bool = True
) -> Process:
    windows = tuple(
        Window(samples=10, reference_s=0.003, tags=("steal",) if k < tagged else ())
        for k in range(4)
    )
    return Process(
        samples_s=(latency_s,) * 40,
        windows=windows,
        settled=settled,
        steady=steady,
        import_s=0.1,
        load_s=0.2,
        first_run_s=0.3,
        health=Health(steal=0.1),
        properties={"threads": "1"},
    )


@pytest.fixture
def empty(space: ElasticSpace) -> Verification:
    query = Query(architecture=space.largest(), target=TARGET, workload=Workload())
    artifact = Artifact(
        target=TARGET, workload=Workload(), path="m.onnx", file_bytes=10, sha256="0" * 64
    )
    prepared = Prepared(
        built=None, expected="e", plain_run_s=0.1, reference=artifact, reference_expected="r"
    )
    request = VerifyRequest(
        query=query, artifact=artifact, expected="e", reference=artifact, reference_expected="r",
        seed=0, protocol=VerifyProtocol(),
    )  # fmt: skip
    job = Job(query=query, protocol="verify", protocol_version=VerifyProtocol().version)
    return Verification(query=query, job=job, request=request, prepared=prepared, memory_wanted=0)


def run(one: Verification, processes: Sequence[Process]) -> int:
    """How many of ``processes`` are wanted."""
    for count, found in enumerate(processes):
        if not one.wants_process:
            return count
        one.processes.append(found)
    return len(processes)


def result(one: Verification, device: DeviceInfo) -> Measurement:
    return one.measurement(device, lambda: "2026-01-01T00:00:00+00:00")


def test_three_that_agree_are_enough(empty: Verification, device: DeviceInfo) -> None:
    assert run(empty, [process(0.01)] * 9) == 3
    found = result(empty, device)
    assert (found.status, found.flags, len(found.samples_s)) == ("ok", (), 3)
    assert found.latency_p50_s == found.calm_p50_s == 0.01
    assert (found.load_s, found.first_run_s, found.health.reference_s) == (0.2, 0.3, 0.003)
    assert found.measured_at == "2026-01-01T00:00:00+00:00"


def test_those_that_do_not_agree_are_joined_by_two(empty: Verification, device: DeviceInfo) -> None:
    latencies = [0.0100, 0.0105, 0.0100, 0.0105, 0.0103, 0.0100]
    assert run(empty, [process(s) for s in latencies]) == 5
    found = result(empty, device)
    assert (found.status, found.latency_p50_s) == ("ok", 0.0103)


def test_processes_far_apart_are_flagged(empty: Verification, device: DeviceInfo) -> None:
    run(empty, [process(s) for s in (0.010, 0.012, 0.010, 0.012, 0.011)])
    found = result(empty, device)
    assert (found.status, found.flags) == ("noisy", ("disagreeing",))


def test_a_disturbed_process_is_replaced_and_set_aside(
    empty: Verification, device: DeviceInfo
) -> None:
    hit = process(0.02, tagged=2)
    assert run(empty, [process(0.01), hit, process(0.01), process(0.01), process(0.01)]) == 4
    found = result(empty, device)
    assert (found.status, found.latency_p50_s) == ("ok", 0.01)
    assert found.set_aside_s == (hit.samples_s,)


def test_a_machine_that_stays_disturbed_is_bounded_and_flagged(
    empty: Verification, device: DeviceInfo
) -> None:
    hit = process(0.02, tagged=4)
    assert run(empty, [hit] * 20) == 6
    found = result(empty, device)
    assert (found.status, found.flags) == ("noisy", ("disturbed",))
    assert len(found.samples_s) == 6
    assert found.calm_p50_s is None


@pytest.mark.parametrize(("what", "flag"), [("settled", "unsettled"), ("steady", "capped")])
def test_a_cap_is_flagged_and_nothing_is_dropped(
    empty: Verification, device: DeviceInfo, what: str, flag: str
) -> None:
    capped = dataclasses.replace(process(0.01), **{what: False})  # type: ignore[arg-type]
    run(empty, [process(0.01), capped, process(0.01)])
    found = result(empty, device)
    assert (found.status, found.flags, len(found.samples_s)) == ("unstable", (flag,), 3)


def test_medians_with_and_without_tagged_windows_must_agree(
    empty: Verification, device: DeviceInfo
) -> None:
    # One window of four is tagged: allowed, but it holds what makes the median.
    protocol = dataclasses.replace(
        empty.request.protocol,
        limits=dataclasses.replace(empty.request.protocol.limits, windows=0.5),
    )
    empty.request = dataclasses.replace(empty.request, protocol=protocol)
    odd = dataclasses.replace(
        process(0.01, tagged=2), samples_s=(0.02,) * 20 + (0.02,) + (0.01,) * 19
    )
    run(empty, [odd] * 3)
    found = result(empty, device)
    assert (found.latency_p50_s, found.calm_p50_s) == (0.02, 0.01)
    assert found.flags == ("disagreeing",)


def test_a_gpu_whose_clock_was_held_down_is_flagged(
    empty: Verification, device: DeviceInfo
) -> None:
    calm = process(0.01)
    slow = dataclasses.replace(calm.windows[0], tags=("clock",), clock_share=0.5)
    use = GpuUse(name="NVIDIA", energy_j=0.2)
    one = dataclasses.replace(
        calm, windows=(slow, *calm.windows[1:]), gpu=use, device_samples_s=(0.008,) * 40
    )
    run(empty, [one] * 3)
    found = result(empty, device)
    assert (found.status, found.flags, found.gpu) == ("noisy", ("throttled",), use)
    assert (found.latency_p50_s, found.device_p50_s) == (0.01, 0.008)


def test_progress_counts_what_is_left(empty: Verification) -> None:
    assert empty.left == 3
    empty.processes.append(process(0.01, tagged=4))
    assert empty.left == 3
    empty.processes += [process(0.01)] * 3
    assert (empty.left, empty.wants_process) == (0, False)
    empty.processes = [process(0.01, tagged=4)] * 6
    assert (empty.left, empty.wants_process) == (0, False)
