"""The order of visits on a bench whose truth is known."""

from __future__ import annotations

import contextlib
import dataclasses
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from fleetfit import (
    DeviceInfo,
    InputError,
    Query,
    SurroundingsError,
    Target,
    Workload,
    versions_of,
)
from profiler import Store, SurveyProtocol, SurveySettings, plan, survey
from profiler.fake import FakeBench
from profiler.survey import Survey
from profiler.visit import Visit
from supernet.spaces import ElasticSpace

TARGETS = (Target(runtime="onnxruntime"), Target(runtime="openvino", precision="bf16"))
SETTINGS = SurveySettings(protocol=SurveyProtocol(visits=2))


@pytest.fixture
def queries(space: ElasticSpace) -> list[Query]:
    networks = plan(space, 6, np.random.default_rng(0))
    return [Query(architecture=a, target=t, workload=Workload()) for a in networks for t in TARGETS]


class Cut(FakeBench):
    """Fails after a number of visits, as a killed survey would stop."""

    def __init__(self, after: int) -> None:
        super().__init__()
        self._after = after

    def visit(self, query: Query, *, seed: int) -> Visit:
        if len(self.visited) == self._after:
            raise SurroundingsError("Power must be on, but is off.")
        return super().visit(query, seed=seed)


def survey_of(
    queries: list[Query], store: Store, device: DeviceInfo, settings: SurveySettings = SETTINGS
) -> Survey:
    return Survey(queries, store=store, device=device, settings=settings)


def test_a_calm_machine_gives_the_truth_in_two_visits(
    queries: list[Query], store: Store, device: DeviceInfo
) -> None:
    bench = FakeBench()
    found = survey_of(queries, store, device).run(bench)
    assert [m.job.query for m in found] == queries
    for m in found:
        assert m.latency_p50_s == pytest.approx(FakeBench.truth_s(m.job.query))
        assert (m.status, len(m.samples_s), m.memory_bytes) == ("ok", 2, None)
        assert m.health.reference_s == 1e-3
    assert set(Counter(q.id for q in bench.visited).values()) == {2}


def test_the_two_visits_are_in_different_passes(
    queries: list[Query], store: Store, device: DeviceInfo
) -> None:
    bench = FakeBench()
    survey_of(queries, store, device).run(bench)
    first, second = bench.visited[: len(queries)], bench.visited[len(queries) :]
    assert {q.id for q in first} == {q.id for q in second} == {q.id for q in queries}
    assert [q.id for q in first] != [q.id for q in second]
    assert first[-1] != second[0]


def test_targets_of_a_network_are_visited_together(
    queries: list[Query], store: Store, device: DeviceInfo
) -> None:
    bench = FakeBench()
    survey_of(queries, store, device).run(bench)
    names = [q.architecture.cost_id for q in bench.visited[: len(queries)]]
    assert names[::2] == names[1::2]


def test_a_disturbed_stretch_is_visited_again(
    queries: list[Query], store: Store, device: DeviceInfo
) -> None:
    # The clock stands at about 1 s after the first readings; disturbed until 14 s.
    bench = FakeBench(lambda now_s: 1.5 if 1.1 < now_s < 14 else 1.0)
    found = survey_of(queries, store, device).run(bench)
    for m in found:
        assert m.status == "ok"
        assert m.latency_p50_s == pytest.approx(FakeBench.truth_s(m.job.query))
    assert len(bench.visited) > 2 * len(queries)


def test_a_visit_beside_others_is_set_aside_and_calm_waited_for(
    queries: list[Query], store: Store, device: DeviceInfo
) -> None:
    def busy(now_s: float) -> bool:
        return 5 < now_s < 12

    # The reference sees nothing: what counts is the load that was read.
    bench = FakeBench(lambda now_s: 1.3 if busy(now_s) else 1.0, lambda now_s: 1.0 * busy(now_s))
    found = survey_of(queries, store, device).run(bench)
    for m in found:
        assert m.status == "ok"
        assert m.latency_p50_s == pytest.approx(FakeBench.truth_s(m.job.query))
    # One visit was hit; then the survey waited.
    assert len(bench.visited) == 2 * len(queries) + 1
    assert [len(m.set_aside_s) for m in found].count(1) == 1


def test_beside_others_that_stay_it_ends_and_is_flagged(
    queries: list[Query], store: Store, device: DeviceInfo
) -> None:
    found = survey_of(queries, store, device).run(FakeBench(others=lambda now_s: 1.0))
    assert {(m.status, m.flags) for m in found} == {("noisy", ("disturbed",))}


def test_readings_of_the_reference_are_kept(
    queries: list[Query], store: Store, device: DeviceInfo
) -> None:
    survey_of(queries, store, device).run(FakeBench(lambda now_s: 2.0))
    for target in TARGETS:
        kept = store.references(device.name, target.id, versions_of(target, device))
        assert set(kept) == {2e-3}
        assert len(kept) > 3


def test_what_was_read_before_gates_a_survey(
    queries: list[Query], store: Store, device: DeviceInfo
) -> None:
    for target in TARGETS:
        for _ in range(50):
            store.add_reference(device.name, target.id, versions_of(target, device), 1e-3)
    # The machine is twice as slow now, throughout: only the earlier readings can tell.
    found = survey_of(queries, store, device).run(FakeBench(lambda now_s: 2.0))
    assert {m.status for m in found} == {"noisy"}


def test_a_machine_that_stays_disturbed_is_bounded_and_flagged(
    queries: list[Query], store: Store, device: DeviceInfo
) -> None:
    rng = np.random.default_rng(0)
    bench = FakeBench(lambda now_s: float(rng.uniform(1, 10)))
    found = survey_of(queries, store, device).run(bench)
    protocol = SETTINGS.protocol
    most = max(Counter(q.id for q in bench.visited).values())
    assert most == protocol.visits + protocol.extra_visits
    assert any(m.status == "noisy" for m in found)


def test_visits_that_disagree_get_one_more(
    queries: list[Query], store: Store, device: DeviceInfo
) -> None:
    # One visit is hit between two readings of the reference, which see nothing.
    bench = FakeBench(lambda now_s: 1.3 if 3.4 < now_s < 4.1 else 1.0)
    found = survey_of(queries, store, device).run(bench)
    assert [len(m.samples_s) for m in found].count(3) == 1
    for m in found:
        assert m.status == "ok"
        assert m.latency_p50_s == pytest.approx(FakeBench.truth_s(m.job.query))


@pytest.mark.parametrize("after", [0, 1, 7, 12, 13, 20, 23])
def test_interrupted_anywhere_it_never_measures_twice(
    queries: list[Query], store: Store, device: DeviceInfo, after: int
) -> None:
    cut, rest = Cut(after), FakeBench()
    with pytest.raises(SurroundingsError):
        survey_of(queries, store, device).run(cut)
    found = survey_of(queries, store, device).run(rest)
    made = Counter(q.id for q in [*cut.visited, *rest.visited])
    assert set(made.values()) == {2}
    assert [m.job.query for m in found] == queries


class Broken(FakeBench):
    """The children of some networks crash."""

    def __init__(self, *broken: Query) -> None:
        super().__init__()
        self._broken = broken

    def visit(self, query: Query, *, seed: int) -> Visit:
        visit = super().visit(query, seed=seed)
        if query in self._broken:
            raise SurroundingsError(f"{query.target} must not crash.")
        return visit


def test_a_network_that_crashes_costs_only_itself(
    queries: list[Query], store: Store, device: DeviceInfo
) -> None:
    bad, rest = queries[3], FakeBench()
    with pytest.raises(SurroundingsError, match="must not crash"):
        survey_of(queries, store, device).run(Broken(bad))
    assert len(store.measurements()) == len(queries) - 1
    found = survey_of(queries, store, device).run(rest)
    assert set(rest.visited) == {bad}
    assert [m.job.query for m in found] == queries


def test_it_waits_until_the_machine_is_as_fast_as_usual(
    queries: list[Query], store: Store, device: DeviceInfo
) -> None:
    slow = (8.0, 30.0)
    bench = FakeBench(lambda now_s: 1.3 if slow[0] < now_s < slow[1] else 1.0)
    protocol = dataclasses.replace(SETTINGS.protocol, reference_every_s=3.0, wait_s=60.0)
    settings = dataclasses.replace(SETTINGS, protocol=protocol)
    found = survey_of(queries, store, device, settings).run(bench)
    assert all(m.status == "ok" for m in found)
    for m in found:
        assert m.latency_p50_s == pytest.approx(FakeBench.truth_s(m.job.query))
    assert len(bench.visited) < 2 * len(queries) + 7  # a stretch for each target at most


def test_waiting_for_the_reference_ends(
    queries: list[Query], store: Store, device: DeviceInfo
) -> None:
    bench = FakeBench(lambda now_s: 1.3 if now_s > 8.0 else 1.0)
    protocol = dataclasses.replace(
        SETTINGS.protocol, reference_every_s=3.0, wait_s=5.0, wait_all_s=12.0
    )
    settings = dataclasses.replace(SETTINGS, protocol=protocol)
    found = survey_of(queries, store, device, settings).run(bench)
    assert len(found) == len(queries)
    assert bench.now_s() < 8.0 + 4 * len(queries) + 12.0 + 12.0


def test_three_crashes_in_a_row_end_a_survey(
    queries: list[Query], store: Store, device: DeviceInfo
) -> None:
    bench = Broken(*queries)
    with pytest.raises(SurroundingsError, match="must not crash"):
        survey_of(queries, store, device).run(bench)
    assert len(bench.visited) == 3


@pytest.mark.parametrize(("share", "free", "kept"), [(0.25, 80, 10), (0.25, 1000, 12), (0, 9, 0)])
def test_networks_stay_loaded_in_a_share_of_what_is_free(
    queries: list[Query],
    device: DeviceInfo,
    monkeypatch: pytest.MonkeyPatch,
    share: float,
    free: int,
    kept: int,
) -> None:
    memory = type("memory", (), {"available": free})
    monkeypatch.setattr("psutil.virtual_memory", lambda: memory)
    protocol = dataclasses.replace(SETTINGS.protocol, keep_share=share)
    settings = dataclasses.replace(SETTINGS, protocol=protocol)
    small = dataclasses.replace(device, memory_bytes=100)
    module = sys.modules["profiler.survey"]
    assert len(TARGETS) == 2
    assert module._kept(queries, small, settings) == kept


def test_what_the_store_has_needs_no_bench(
    queries: list[Query], store: Store, device: DeviceInfo
) -> None:
    found = survey_of(queries, store, device).run(FakeBench())
    again = survey_of(queries, store, device)
    assert again.is_complete
    assert again.measurements() == found


def test_another_runtime_version_is_measured_anew(
    queries: list[Query], store: Store, device: DeviceInfo
) -> None:
    import dataclasses

    survey_of(queries, store, device).run(FakeBench())
    updated = dataclasses.replace(device, versions={**device.versions, "openvino": "9"})
    bench = FakeBench()
    survey_of(queries, store, updated).run(bench)
    assert {q.target.runtime for q in bench.visited} == {"openvino"}


def test_memory_of_every_kth_and_of_the_ends(
    queries: list[Query], store: Store, device: DeviceInfo
) -> None:
    settings = SurveySettings(memory_every=4)
    found = survey_of(queries, store, device, settings).run(FakeBench())
    with_memory = [m.job.query for m in found if m.memory_bytes is not None]
    networks = [q.architecture for q in queries][::2]
    # The first two of a plan are its ends; the fifth is the next fourth.
    assert [q.architecture for q in with_memory][::2] == [networks[0], networks[1], networks[4]]


def test_memory_asked_for_later_is_added_without_new_visits(
    queries: list[Query], store: Store, device: DeviceInfo
) -> None:
    survey_of(queries, store, device).run(FakeBench())
    bench = FakeBench()
    found = survey_of(queries, store, device, SurveySettings(memory_every=1)).run(bench)
    assert bench.visited == []
    assert all(m.memory_bytes is not None for m in found)
    assert store.measurements() != []


def test_equal_cost_is_measured_once(
    queries: list[Query], store: Store, device: DeviceInfo
) -> None:
    bench = FakeBench()
    found = survey_of([queries[0], queries[0]], store, device).run(bench)
    assert len(found) == 2
    assert len(bench.visited) == 2


def test_workloads_of_other_lengths_are_measured_apart(
    queries: list[Query], store: Store, device: DeviceInfo
) -> None:
    plain = [q for q in queries if q.target == TARGETS[0]]
    survey_of(plain, store, device).run(FakeBench())
    law = Workload(batch=2, seq_len=16, lengths=(3, 5, 16))
    padded = [dataclasses.replace(q, workload=law) for q in plain]
    bench = FakeBench()
    found = survey_of([*plain, *padded], store, device).run(bench)
    assert {q.workload for q in bench.visited} == {law}
    assert [m.job.query for m in found] == [*plain, *padded]
    assert sorted(m.job.id for m in store.measurements()) == sorted(m.job.id for m in found)


def test_progress_ends_complete(queries: list[Query], store: Store, device: DeviceInfo) -> None:
    seen: list[tuple[int, int]] = []
    survey_of(queries, store, device).run(FakeBench(), lambda d, n, _: seen.append((d, n)))
    assert seen[0] == (0, 24)
    assert seen[-1] == (24, 24)
    assert [d for d, _ in seen] == sorted(d for d, _ in seen)


def test_settings_are_checked() -> None:
    with pytest.raises(InputError, match="memory_every"):
        SurveySettings(memory_every=-1)


def test_what_another_survey_measured_meanwhile_is_not_repeated(
    queries: list[Query], store: Store, device: DeviceInfo, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = FakeBench()

    @contextlib.contextmanager
    def waited_for(who: str, *, timeout_s: float) -> Iterator[Path]:
        survey_of(queries, store, device).run(FakeBench())
        yield Path("lock")

    module = sys.modules["profiler.survey"]  # the name in the package is the function's
    monkeypatch.setattr(module, "machine_lock", waited_for)
    monkeypatch.setattr(module, "WorkerBench", lambda scratch, protocol, keep_bytes: bench)
    found = survey(queries, store=store, device=device, settings=SETTINGS)
    assert [m.job.query for m in found] == queries
    assert bench.visited == []
