"""Verifications that take turns: children by a table of answers, everything else as it is."""

from __future__ import annotations

import dataclasses
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from fleetfit import (
    DeviceInfo,
    Measurement,
    Query,
    SurroundingsError,
    Target,
    Workload,
    to_json,
)
from profiler import Store, VerifyProtocol, VerifySettings, keep_better, verified
from profiler.process import Process
from profiler.protocol import DisturbanceLimits
from profiler.requests import VerifyRequest
from profiler.usual import Usual
from profiler.verify import verify_each
from supernet.spaces import ElasticSpace
from tests.profiler.test_verification import process

MODULE = sys.modules["profiler.verify"]
SETTINGS = VerifySettings(
    protocol=VerifyProtocol(wait_s=0.0, look_s=0.001, limits=DisturbanceLimits(other_load=1000.0)),
    memory=False,
    order_seed=0,
)


@pytest.fixture
def queries(space: ElasticSpace) -> list[Query]:
    target = Target(runtime="onnxruntime")
    return [
        Query(architecture=a, target=target, workload=Workload(seq_len=16))
        for a in (space.largest(), space.smallest())
    ]


class Children:
    """Answers in the place of processes: by query, one after the other, the last for ever."""

    def __init__(self, answers: dict[str, list[Process | Exception]]) -> None:
        self._answers = answers
        self.asked: list[str] = []

    def __call__(self, module: str, request: VerifyRequest, *, timeout_s: float) -> Any:
        left = self._answers[request.query.id]
        self.asked.append(request.query.id)
        answer = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(answer, Exception):
            raise answer
        return to_json(answer)


@pytest.fixture
def children(
    queries: list[Query], alone: Path, monkeypatch: pytest.MonkeyPatch
) -> dict[str, list[Process | Exception]]:
    """Both are quick and agree, unless a test says otherwise."""
    answers: dict[str, list[Process | Exception]] = {
        queries[0].id: [process(0.02)],
        queries[1].id: [process(0.01)],
    }
    fake = Children(answers)
    monkeypatch.setattr(MODULE, "run_isolated", fake)
    monkeypatch.setattr(MODULE, "_asked", fake.asked, raising=False)
    return answers


def each(queries: list[Query], device: DeviceInfo, kept: list[Measurement]) -> list[Measurement]:
    usual = Usual(device, SETTINGS.protocol.limits, None)
    return verify_each(queries, usual, SETTINGS, keep=kept.append)


def test_they_take_turns_and_come_in_order(
    queries: list[Query], device: DeviceInfo, children: dict[str, list[Process | Exception]]
) -> None:
    kept: list[Measurement] = []
    found = each(queries, device, kept)
    assert [m.job.query for m in found] == queries
    assert [m.latency_p50_s for m in found] == [0.02, 0.01]
    assert sorted(kept, key=lambda m: m.latency_p50_s) == found[::-1]
    asked: list[str] = MODULE._asked
    pairs = [set(asked[k : k + 2]) for k in (0, 2, 4)]
    assert pairs == [{q.id for q in queries}] * 3


def test_one_that_needs_more_processes_goes_on_alone(
    queries: list[Query], device: DeviceInfo, children: dict[str, list[Process | Exception]]
) -> None:
    hit = process(0.05)
    waiting = tuple(dataclasses.replace(w, waiting=0.9) for w in hit.windows)
    children[queries[0].id] = [dataclasses.replace(hit, windows=waiting), process(0.02)]
    kept: list[Measurement] = []
    found = each(queries, device, kept)
    assert Counter(MODULE._asked) == {queries[0].id: 4, queries[1].id: 3}
    assert (found[0].status, found[0].latency_p50_s) == ("ok", 0.02)
    assert found[0].set_aside_s == (hit.samples_s,)
    assert kept == found[::-1]


@pytest.mark.parametrize("before", range(4))
def test_a_crash_costs_only_the_one_that_crashes(
    queries: list[Query],
    store: Store,
    device: DeviceInfo,
    children: dict[str, list[Process | Exception]],
    before: int,
) -> None:
    wide: list[Process | Exception] = [process(s) for s in (0.02, 0.03, 0.02)]
    crash = SurroundingsError("The child must answer, but crashed.")
    children[queries[0].id] = [*wide[:before], crash]
    with pytest.raises(SurroundingsError, match=r"crashed\. It was verifying .* in onnxruntime"):
        verified(queries, store=store, device=device, settings=SETTINGS)
    assert [m.job.query for m in store.measurements()] == [queries[1]]


def test_an_ok_row_stays_and_a_flagged_one_becomes_a_repeat(
    queries: list[Query],
    store: Store,
    device: DeviceInfo,
    children: dict[str, list[Process | Exception]],
) -> None:
    good, _ = each(queries, device, [])
    noisy = dataclasses.replace(good, status="noisy", flags=("disturbed",))
    unstable = dataclasses.replace(good, status="unstable", flags=("capped",))
    for one in (noisy, unstable, good, noisy):
        keep_better(store, one)
    assert store.measurements() == [good]
    assert store.repeated() == [(good, unstable, noisy, noisy)]
