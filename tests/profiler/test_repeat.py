"""What is measured again: measuring itself is by the fake."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable

import pytest

from fleetfit import DeviceInfo, InputError, Job, Measurement, Query, Target, Workload
from profiler import (
    RepeatSettings,
    Store,
    SurveySettings,
    VerifyProtocol,
    VerifySettings,
    noise_floors,
    plan,
    repeat,
)
from profiler.fake import FakeBench
from profiler.survey import Survey
from profiler.survey_settings import Progress
from profiler.usual import Usual
from supernet.spaces import ElasticSpace

MODULE = sys.modules["profiler.repeat"]


def surveyed(slowdown: float) -> Callable[..., list[Measurement]]:
    """A survey on a machine that is so much slower now."""

    def survey(
        queries: list[Query],
        *,
        store: Store,
        device: DeviceInfo,
        settings: SurveySettings,
        progress: Progress | None,
    ) -> list[Measurement]:
        bench = FakeBench(lambda now_s: slowdown)
        return Survey(queries, store=store, device=device, settings=settings).run(bench, progress)

    return survey


@pytest.fixture
def slower(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine is 8 % slower now: less than what its reference is gated by."""

    def verify_each(
        queries: list[Query],
        usual: Usual,
        settings: VerifySettings,
        progress: Progress | None,
        *,
        keep: Callable[[Measurement], object],
    ) -> list[Measurement]:
        found = [verification(q, usual.device, 1.08) for q in queries]
        for one in found:
            keep(one)
        return found

    monkeypatch.setattr(MODULE, "survey", surveyed(1.08))
    monkeypatch.setattr(MODULE, "verify_each", verify_each)


def verification(query: Query, device: DeviceInfo, slowdown: float) -> Measurement:
    latency = FakeBench.truth_s(query) * slowdown
    return Measurement(
        job=Job(query=query, protocol="verify", protocol_version=VerifyProtocol().version),
        device=device,
        samples_s=((latency,) * 3,) * 3,
        memory_bytes=None,
        memory_above_imports_bytes=None,
        file_bytes=1,
        load_s=0.1,
        versions={"onnxruntime": device.versions["onnxruntime"]},
    )


@pytest.fixture
def filled(space: ElasticSpace, store: Store, device: DeviceInfo) -> list[Measurement]:
    import numpy as np

    target = Target(runtime="onnxruntime")
    networks = plan(space, 30, np.random.default_rng(0))
    queries = [Query(architecture=a, target=target, workload=Workload()) for a in networks]
    survey = Survey(queries, store=store, device=device, settings=SurveySettings(seed=3))
    found = survey.run(FakeBench())
    store.put(verification(queries[0], device, 1.0))
    return found


@pytest.mark.usefixtures("slower", "filled")
def test_a_share_is_measured_again_and_kept_beside(store: Store, device: DeviceInfo) -> None:
    before = store.measurements()
    found = repeat(store, device=device, settings=RepeatSettings(share=0.1))
    assert sorted(m.job.protocol for m in found) == ["survey"] * 3 + ["verify"]
    assert store.measurements() == before
    floors = {f.protocol: f for f in noise_floors(store.repeated())}
    assert (floors["survey"].pairs, floors["verify"].pairs) == (3, 1)
    for floor in floors.values():
        assert floor.median == pytest.approx(0.08 / 1.04)


@pytest.mark.usefixtures("slower", "filled")
def test_what_was_never_repeated_comes_first(store: Store, device: DeviceInfo) -> None:
    settings = RepeatSettings(share=0.5)
    found = [repeat(store, device=device, settings=settings) for _ in range(2)]
    first, second = ({m.job.id for m in one if m.job.protocol == "survey"} for one in found)
    assert len(first) == len(second) == 15
    assert not first & second
    repeat(store, device=device, settings=settings)  # where none is left, they come again
    assert sum(len(rows) - 1 for rows in store.repeated()) == 3 * (15 + 1)


@pytest.mark.usefixtures("filled")
def test_what_is_complete_when_it_is_interrupted_is_kept(
    store: Store, device: DeviceInfo, monkeypatch: pytest.MonkeyPatch
) -> None:
    def survey(
        queries: list[Query],
        *,
        store: Store,
        device: DeviceInfo,
        settings: SurveySettings,
        progress: Progress | None,
    ) -> list[Measurement]:
        Survey(queries[:2], store=store, device=device, settings=settings).run(FakeBench())
        raise KeyboardInterrupt

    monkeypatch.setattr(MODULE, "survey", survey)
    monkeypatch.setattr(MODULE, "verify_each", lambda *given, **named: [])
    with pytest.raises(KeyboardInterrupt):
        repeat(store, device=device, settings=RepeatSettings(share=0.5))
    assert [len(rows) for rows in store.repeated()] == [2, 2]


@pytest.mark.usefixtures("slower")
def test_others_rows_and_old_ones_are_left_alone(
    filled: list[Measurement], store: Store, device: DeviceInfo
) -> None:
    elsewhere = dataclasses.replace(device, name="other")
    updated = dataclasses.replace(device, versions={"onnxruntime": "9"})
    for other in (elsewhere, updated):
        with pytest.raises(InputError, match="must hold measurements of this machine"):
            repeat(store, device=other, settings=RepeatSettings(share=1.0))


@pytest.mark.parametrize("share", [0.0, -0.1, 1.01])
def test_a_share_is_a_share(share: float) -> None:
    with pytest.raises(InputError, match="share to repeat"):
        RepeatSettings(share=share)


@pytest.mark.usefixtures("filled")
def test_a_machine_slower_than_it_was_is_seen(
    store: Store, device: DeviceInfo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(MODULE, "survey", surveyed(1.3))
    monkeypatch.setattr(MODULE, "verify_each", lambda *given, **named: [])
    found = repeat(store, device=device, settings=RepeatSettings(share=0.1))
    assert {m.status for m in found} == {"noisy"}
