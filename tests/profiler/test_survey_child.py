"""The child of a survey, in this process: which visits load a network."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import psutil
import pytest

import profiler.survey_child
from fleetfit import Target, dumps, from_json
from profiler.artifacts import load_timed
from profiler.requests import SurveyRequest
from profiler.survey_child import SurveyChild
from profiler.visit import Visit
from tests.profiler import surveying

ROOMY = 1 << 40


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Paths of the artefacts that were loaded."""
    found: list[str] = []

    def noted(artifact: Any) -> Any:
        found.append(artifact.path)
        return load_timed(artifact)

    monkeypatch.setattr("profiler.survey_child.load_timed", noted)
    return found


def request(place: Path, **changes: Any) -> SurveyRequest:
    query = surveying.queries(2)[changes.pop("number", 0)]
    whole = SurveyRequest(
        kind="visit", query=query, directory=str(place / query.id), seed=0,
        protocol=surveying.FAST.protocol,
    )  # fmt: skip
    return dataclasses.replace(whole, **changes)


def answered(child: SurveyChild, asked: SurveyRequest) -> Visit:
    return from_json(Visit, json.loads(dumps(child.handle(json.loads(dumps(asked))))))


@pytest.mark.parametrize(("keep_bytes", "loaded"), [(ROOMY, 1), (0, 3)])
def test_networks_stay_loaded_while_memory_allows(
    loads: list[str], tmp_path: Path, keep_bytes: int, loaded: int
) -> None:
    child = SurveyChild()
    asked = request(tmp_path, keep_bytes=keep_bytes)
    visits = [answered(child, asked) for _ in range(3)]
    assert len(loads) == loaded
    assert all(len(v.samples_s) >= asked.protocol.min_samples for v in visits)
    assert len({v.load_s for v in visits}) == loaded  # that of the load which served the visit


def test_other_weights_are_another_network(loads: list[str], tmp_path: Path) -> None:
    child = SurveyChild()
    for seed, number in ((0, 0), (1, 0), (0, 1), (1, 0)):
        answered(child, request(tmp_path, seed=seed, number=number, keep_bytes=ROOMY))
    assert len(loads) == len(set(loads)) == 3


@pytest.mark.parametrize(("changes", "loaded"), [({"threads": 200}, 3), ({"spinning": True}, 4)])
def test_threads_of_what_stays_loaded_are_few_and_idle(
    loads: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    changes: dict[str, Any],
    loaded: int,
) -> None:
    monkeypatch.setattr("profiler.survey_child._loaded", _without_loading(loads))
    child, one = SurveyChild(), request(tmp_path, keep_bytes=ROOMY)
    target = dataclasses.replace(one.query.target, **changes)
    for number in (0, 1, 0, 1):
        asked = request(tmp_path, number=number, keep_bytes=ROOMY)
        query = dataclasses.replace(asked.query, target=target)
        answered(child, dataclasses.replace(asked, query=query))
    assert len(loads) == loaded  # of 200 threads each the first one stays


def _without_loading(loads: list[str]) -> Any:
    load = profiler.survey_child._loaded

    def loaded(asked: SurveyRequest) -> Any:
        loads.append(asked.query.id)
        plain = dataclasses.replace(asked.query, target=Target(runtime="onnxruntime"))
        ready = load(dataclasses.replace(asked, query=plain))
        loads.pop()  # noted twice
        return ready

    return loaded


def test_what_is_over_the_limit_does_not_stay(
    loads: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    child, resident = SurveyChild(), [10, 30, 30]

    class Process:
        def memory_info(self) -> Any:
            return type("info", (), {"rss": resident.pop(0)})

    monkeypatch.setattr(psutil, "Process", Process)
    first, second = (request(tmp_path, number=n, keep_bytes=20) for n in (0, 1))
    for asked in (first, second, first, second):
        answered(child, asked)
    assert [loads.count(path) for path in dict.fromkeys(loads)] == [1, 2]
