"""The command line in-process, and measuring with known values in the place of the protocols."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import profiler
from devices import describe
from fleetfit import DeviceInfo, Job, Measurement, Query, versions_of
from profiler import VerifyProtocol
from profiler.fake import FakeBench
from profiler.survey import Survey
from profiler.survey_settings import Progress
from profiler.usual import Usual
from search.bundling import MeasureFile
from search.cli import main

TARGET = ("--target", "onnxruntime-fp32", "--threads", "1")
SHAPE = ("--seq-len", "16", "--labels", "2")


def fleetfit(capsys: pytest.CaptureFixture[str], *words: object) -> dict[str, Any]:
    """The JSON document of a verb that must succeed."""
    capsys.readouterr()
    code = main([*map(str, words), "--json"])
    shown = capsys.readouterr()
    assert code == 0, shown.err
    (line,) = shown.out.splitlines()
    document: dict[str, Any] = json.loads(line)
    return document


def refused(capsys: pytest.CaptureFixture[str], code: int, *words: object) -> str:
    """The one sentence of a verb that must fail with ``code``."""
    capsys.readouterr()
    found = main([str(w) for w in words])
    shown = capsys.readouterr()
    assert found == code, shown.err
    assert shown.out == ""
    assert "Traceback" not in shown.err
    lines = [line for line in shown.err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, shown.err
    return lines[0].removeprefix("error: ")


def contents(path: Path) -> dict[str, bytes]:
    """Every file below a directory, to compare before and after."""
    return {str(p): p.read_bytes() for p in sorted(path.rglob("*")) if p.is_file()}


def measured_by_fake(*, slower: float = 1.0, kept: list[Measurement] | None = None) -> MeasureFile:
    """Measures an exported model by FakeBench, ``slower`` times its latency."""

    def measure(file: profiler.ModelFile) -> Measurement:
        found = measurement_by_fake(file.query, file.path.stat().st_size, slower=slower)
        if kept is not None:
            kept.append(found)
        return found

    return measure


def measurement_by_fake(query: Query, file_bytes: int, *, slower: float) -> Measurement:
    """A verification whose latency and memory are those of FakeBench."""
    latency = FakeBench.truth_s(query) * slower
    memory = FakeBench().memory(query, seed=0)
    device = describe()
    return Measurement(
        job=Job(query=query, protocol="verify", protocol_version=VerifyProtocol().version, seed=0),
        device=device,
        samples_s=((latency,) * 30,) * 3,
        memory_bytes=memory.peak_bytes,
        memory_above_imports_bytes=memory.above_imports_bytes,
        file_bytes=file_bytes,
        load_s=0.01,
        versions=versions_of(query.target, device),
    )


def measure_by_fake(monkeypatch: pytest.MonkeyPatch, *, slower: float = 1.0) -> None:
    """``profiler.survey`` and ``verify`` give the values of FakeBench, verify times ``slower``."""

    def survey(
        queries: list[Query],
        *,
        store: profiler.Store,
        device: DeviceInfo,
        settings: profiler.SurveySettings,
        progress: Progress | None = None,
    ) -> list[Measurement]:
        plan = Survey(queries, store=store, device=device, settings=settings)
        return plan.run(FakeBench(), progress)

    def verify(
        what: Query | profiler.ModelFile,
        *,
        device: DeviceInfo,
        store: profiler.Store | None = None,
        settings: profiler.VerifySettings | None = None,
        progress: Progress | None = None,
    ) -> Measurement:
        if isinstance(what, Query):
            return measurement_by_fake(what, 1000, slower=slower)
        return measurement_by_fake(what.query, what.path.stat().st_size, slower=slower)

    def verify_each(
        what: list[Query],
        usual: Usual,
        settings: profiler.VerifySettings,
        progress: Progress | None = None,
        *,
        keep: Callable[[Measurement], object],
    ) -> list[Measurement]:
        found = [verify(one, device=usual.device) for one in what]
        for one in found:
            keep(one)
        return found

    monkeypatch.setattr(profiler, "survey", survey)
    monkeypatch.setattr(profiler, "verify", verify)
    for name in ("profiler.verify", "profiler.repeat"):  # for ``verified`` and ``repeat``
        monkeypatch.setattr(sys.modules[name], "verify_each", verify_each)
    monkeypatch.setattr(sys.modules["profiler.repeat"], "survey", survey)


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """A supernet with what profile and learn left, and a place for a search."""

    supernet: Path
    store: Path
    costs: Path
    text: Path
    out: Path

    def search(self, *words: str) -> list[str]:
        """A short search with ``words`` added."""
        paths = [str(self.supernet), str(self.out), "--predictors", str(self.costs)]
        shared = ["--text", str(self.text), "--store", str(self.store), "--evaluations", "4"]
        return ["search", *paths, *shared, *TARGET, *SHAPE, *words]
