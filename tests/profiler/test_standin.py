"""The traps of measuring, on a runtime of known cost: real children, protocols and memory."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import pytest

from fleetfit import DeviceInfo, FleetfitError, Query, Target, Workload
from profiler import Store, SurveySettings, VerifyProtocol, VerifySettings, survey, verified, verify
from profiler.protocol import DisturbanceLimits, SurveyProtocol
from profiler.standin import Behaviour, install
from supernet.spaces import ElasticSpace

MIB = 2**20
ANYTHING_GOES = DisturbanceLimits(
    steal=10.0, other_load=1000.0, waiting=10.0, switches=10**9, reference=1000.0
)
QUICK = VerifyProtocol(
    processes=1, most_processes=1, memory_processes=1, look_s=0.01, wait_s=0.0, warmup_s=0.02,
    settle_cap_s=1.0, sample_s=0.2, min_samples=20, window_s=0.05, cap_s=2.0, half_width=0.2,
    window_ratio=2.0, reference_s=0.01, limits=ANYTHING_GOES, process_timeout_s=60.0,
)  # fmt: skip
TIMED, WITH_MEMORY = VerifySettings(protocol=QUICK, memory=False), VerifySettings(protocol=QUICK)
SURVEY = SurveySettings(
    protocol=SurveyProtocol(
        visits=1, warmup_s=0.0, sample_s=0.02, reference_s=0.02, wait_s=0.0, limits=ANYTHING_GOES
    )
)


@pytest.fixture
def query(space: ElasticSpace) -> Query:
    target = Target(runtime="onnxruntime")
    return Query(architecture=space.smallest(), target=target, workload=Workload(seq_len=16))


class Standin:
    """Sets the behaviour of the library that children import."""

    def __init__(self, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._place = place
        monkeypatch.setenv("PYTHONPATH", f"{place}:{os.environ['PYTHONPATH']}")

    def does(self, **behaviour: float | str | bool) -> None:
        install(self._place, Behaviour(**behaviour))  # type: ignore[arg-type]


@pytest.fixture
def standin(alone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Standin:
    return Standin(tmp_path / "standin", monkeypatch)


def test_a_spin_is_measured_to_its_truth(
    standin: Standin, query: Query, device: DeviceInfo
) -> None:
    standin.does(spin_s=0.004)
    found = verify(query, device=device, settings=TIMED)
    # A busy machine adds, so only the fastest run is sure.
    assert min(found.samples_s[0]) == pytest.approx(0.004, rel=0.02)
    assert found.properties["enable_cpu_mem_arena"] == "True"


def test_a_slow_start_is_warmed_away(standin: Standin, query: Query, device: DeviceInfo) -> None:
    standin.does(sleep_s=0.004, slow_runs=30)
    found = verify(query, device=device, settings=TIMED)
    assert found.first_run_s is not None
    assert found.first_run_s > 0.016
    assert found.latency_p50_s < 0.012


def test_two_modes_are_flagged(standin: Standin, query: Query, device: DeviceInfo) -> None:
    standin.does(spin_s=0.002, second_s=0.006)
    strict = dataclasses.replace(QUICK, half_width=0.02, window_ratio=1.1, cap_s=0.5)
    settings = VerifySettings(protocol=strict, memory=False)
    found = verify(query, device=device, settings=settings)
    assert found.status == "unstable"
    assert "capped" in found.flags


def test_memory_that_grows_is_in_the_peak(
    standin: Standin, query: Query, device: DeviceInfo
) -> None:
    standin.does()
    empty = verify(query, device=device, settings=WITH_MEMORY)
    standin.does(load_bytes=60 * MIB, grow_bytes=10 * MIB, grow_runs=20)
    found = verify(query, device=device, settings=WITH_MEMORY)
    assert empty.memory_bytes is not None
    assert found.memory_bytes is not None
    assert found.memory_bytes - empty.memory_bytes == pytest.approx(260 * MIB, rel=0.03)
    load, warm, steady = (r.resident_bytes or 0 for r in found.memory[0][1:])
    assert warm - load == pytest.approx(80 * MIB, rel=0.03)  # 8 inputs
    assert steady - warm == pytest.approx(120 * MIB, rel=0.03)


def test_memory_that_loading_gives_back_is_in_the_peak_only(
    standin: Standin, query: Query, device: DeviceInfo
) -> None:
    standin.does()
    (empty,) = verify(query, device=device, settings=WITH_MEMORY).memory
    standin.does(load_peak_bytes=200 * MIB)
    (readings,) = verify(query, device=device, settings=WITH_MEMORY).memory
    imports, load, _, steady = readings
    grown = load.peak_bytes - imports.peak_bytes - (empty[1].peak_bytes - empty[0].peak_bytes)
    assert grown == pytest.approx(200 * MIB, rel=0.03)
    assert steady.peak_bytes == load.peak_bytes
    assert steady.stage_peak_bytes is not None
    assert steady.stage_peak_bytes < imports.peak_bytes + 20 * MIB


def test_what_is_printed_is_no_result(standin: Standin, query: Query, device: DeviceInfo) -> None:
    standin.does(sleep_s=0.002, prints=True)
    assert verify(query, device=device, settings=WITH_MEMORY).latency_p50_s >= 0.002


@pytest.mark.parametrize(
    ("behaviour", "said"),
    [
        ({"crash": "segfault"}, "SIGSEGV.*going down"),
        ({"crash": "kill"}, "SIGKILL.*going down"),
        ({"crash": "exit"}, "exit code 3"),
        ({"crash": "hang"}, "must answer within 2"),
        ({"crash": "raise"}, "as it was told"),
        ({"wrong": True}, "agree with the plain ONNX graph"),
    ],
)
def test_a_child_that_fails_leaves_nothing_in_the_store(
    standin: Standin,
    query: Query,
    device: DeviceInfo,
    store: Store,
    behaviour: dict[str, str | bool],
    said: str,
) -> None:
    standin.does()
    (kept,) = verified([query], store=store, device=device, settings=TIMED)
    standin.does(sleep_s=0.001, **behaviour)
    other = dataclasses.replace(query, workload=Workload(seq_len=8))
    hasty = VerifySettings(
        protocol=dataclasses.replace(
            QUICK, process_timeout_s=2.0 if "hang" in behaviour.values() else 60.0
        ),
        memory=False,
    )
    with pytest.raises(FleetfitError, match=said) as caught:
        verified([other], store=store, device=device, settings=hasty)
    assert "\n" not in str(caught.value)
    with pytest.raises(FleetfitError, match=said):
        survey([other], store=store, device=device, settings=hasty_survey(behaviour))
    assert store.measurements() == [kept]


def hasty_survey(behaviour: dict[str, str | bool]) -> SurveySettings:
    timeout_s = 2.0 if "hang" in behaviour.values() else 60.0
    protocol = dataclasses.replace(SURVEY.protocol, request_timeout_s=timeout_s)
    return dataclasses.replace(SURVEY, protocol=protocol)
