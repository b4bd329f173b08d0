from __future__ import annotations

import dataclasses
import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
import sqlalchemy as sa
from hypothesis import given, settings

from fleetfit import InputError, Measurement, MemoryReading, Status
from profiler import Contents, Merged, Store, contents_of, merge
from profiler.visit import Visit
from tests.profiler.conftest import NewUrl
from tests.profiler.stored import VERSIONS, VISIT, job, killed_in_turn, measured, storing

NEWER = {"onnxruntime": "1.32.0"}


@pytest.fixture
def one(new_url: NewUrl) -> Iterator[Store]:
    with Store(new_url()) as store:
        yield store


@pytest.fixture
def two(new_url: NewUrl) -> Iterator[Store]:
    with Store(new_url()) as store:
        yield store


def fill(store: Store) -> None:
    """Something in every table."""
    for seed in range(3):
        store.put(measured(job=job(seed)))
    store.put_repeat(measured(0.02))
    store.put(measured(0.03, versions=NEWER))
    store.add_visit(job(9), "a", VISIT, VERSIONS)
    store.judge_visits([store.add_visit(job(9), "a", replaced(VISIT, 0.2), VERSIONS)], "good")
    store.put_quality("k", "x", "fp32", 1.5)
    for value in (0.002, 0.001, 0.002):
        store.add_reference("a", "t", VERSIONS, value)


def replaced(visit: Visit, load_s: float) -> Visit:
    return dataclasses.replace(visit, load_s=load_s)


def test_into_an_empty_store_it_is_a_copy(one: Store, two: Store) -> None:
    fill(one)
    merged = merge(two, contents_of(one))
    assert merged == Merged(measurements=4, repeats=1, visits=2, qualities=1, references=3)
    assert contents_of(two) == contents_of(one)
    assert two.measurements() == one.measurements()
    assert two.repeated() == one.repeated()
    assert two.references("a", "t", VERSIONS) == one.references("a", "t", VERSIONS)
    two.put(measured(job=job(77)))  # numbers go on after what came in
    assert two.measurements()[-1].job.seed == 77


def test_a_second_merge_changes_nothing(one: Store, two: Store) -> None:
    fill(one)
    two.put(measured(0.5))
    two.put_quality("k", "x", "fp32", 2.5)
    two.add_reference("a", "t", VERSIONS, 0.002)
    merge(two, contents_of(one))
    before = contents_of(two)
    assert merge(two, contents_of(one)) == Merged(known=5)
    assert contents_of(two) == before
    assert merge(two, before) == Merged(known=6)


def test_other_content_under_one_key_is_a_repeat(one: Store, two: Store) -> None:
    rows = [measured(0.01 + i / 100) for i in range(4)]
    one.put(rows[0])
    one.put_repeat(rows[1])
    two.put(rows[2])
    two.put_repeat(rows[1])
    two.put_repeat(rows[3])
    assert merge(one, contents_of(two)) == Merged(repeats=2, known=1)
    assert one.repeated() == [(rows[0], rows[1], rows[2], rows[3])]
    assert one.measurements() == [rows[0]]


def test_the_better_of_both_is_the_measurement(one: Store, two: Store) -> None:
    flagged = [measured(0.01, job=job(seed), status="noisy") for seed in range(3)]
    statuses = ("ok", "noisy", "unstable")
    theirs = [measured(0.02, job=job(s), status=k) for s, k in enumerate(statuses)]
    for ours, other in zip(flagged, theirs, strict=True):
        one.put(ours)
        two.put(other)
    assert merge(one, contents_of(two)) == Merged(repeats=3)
    assert one.measurements() == [*flagged[1:], theirs[0]]
    assert one.get(job(0), "a", VERSIONS) == theirs[0]
    assert (theirs[0], flagged[0]) in one.repeated()
    assert merge(one, contents_of(two)) == Merged(known=3)


def test_other_versions_stand_apart(one: Store, two: Store) -> None:
    one.put(measured())
    two.put(measured(0.02, versions=NEWER))
    assert merge(one, contents_of(two)) == Merged(measurements=1)
    assert one.measurements() == [measured(), measured(0.02, versions=NEWER)]


MEMORY: dict[str, Any] = {
    "memory_bytes": 2**20,
    "memory_above_imports_bytes": 2**19,
    "memory": ((MemoryReading(stage="load", peak_bytes=2**20),),),
}


def test_a_measurement_whose_memory_came_later_is_no_repeat(one: Store, two: Store) -> None:
    one.put(measured())
    two.put(measured(**MEMORY))
    assert merge(two, contents_of(one)) == Merged(known=1)
    assert two.measurements() == [measured(**MEMORY)]
    assert merge(one, contents_of(two)) == Merged(completed=1)
    assert one.measurements() == [measured(**MEMORY)]
    assert one.repeated() == []
    assert merge(one, contents_of(two)) == Merged(known=1)


def test_a_row_as_an_earlier_program_wrote_it_is_known(one: Store, two: Store) -> None:
    for store in (one, two):
        store.put(measured())
    text = '"gpu":null,'  # which is what a measurement says that has no such field
    with two.database.writing() as connection:
        connection.execute(
            sa.text("UPDATE measurements SET measurement = replace(measurement, :text, '')"),
            {"text": text},
        )
    with pytest.raises(InputError, match=r"row of the store .* must have its digest.*copy"):
        contents_of(two)
    row = dict(contents_of(one).measurements[0])
    old = row["measurement"].replace(text, "")
    assert old != row["measurement"]
    row |= {"measurement": old, "digest": hashlib.sha256(old.encode()).hexdigest()}
    assert merge(one, Contents(measurements=(row,))) == Merged(known=1)


def test_visits_join_unless_the_measurement_is_there(one: Store, two: Store) -> None:
    for store in (one, two):
        store.add_visit(job(1), "a", VISIT, VERSIONS)
        store.add_visit(job(2), "a", VISIT, VERSIONS)
    two.add_visit(job(1), "a", replaced(VISIT, 0.5), VERSIONS)
    two.add_visit(job(3), "a", VISIT, VERSIONS)
    one.put(measured(job=job(3)))
    two.put(measured(job=job(2)))
    assert merge(one, contents_of(two)) == Merged(measurements=1, visits=1)
    assert [v for _, _, v in one.visits(job(1), "a", VERSIONS)] == [VISIT, replaced(VISIT, 0.5)]
    assert one.visits(job(2), "a", VERSIONS) == []
    assert one.visits(job(3), "a", VERSIONS) == []


def test_readings_never_mix_with_those_that_are_there(one: Store, two: Store) -> None:
    for value in (0.001, 0.002):
        two.add_reference("a", "t", VERSIONS, value)
        two.add_reference("a", "t", NEWER, value)
    one.add_reference("a", "t", VERSIONS, 0.003)
    assert merge(one, contents_of(two)) == Merged(references=2)
    assert one.references("a", "t", VERSIONS) == [0.003]
    assert one.references("a", "t", NEWER) == [0.002, 0.001]
    assert merge(one, contents_of(two)) == Merged()


def test_what_is_twice_in_a_file_comes_once(one: Store) -> None:
    quality = {"key": "k", "architecture_id": "x", "precision": "fp32", "value": 1.0}
    rows = Contents(qualities=(quality, quality | {"value": 2.0}))
    assert merge(one, rows) == Merged(qualities=1)
    assert one.quality("k", "x", "fp32") == 1.0


def test_a_merge_that_fails_leaves_nothing(one: Store) -> None:
    one.put(measured())
    rows = Contents(
        measurements=contents_of(one).measurements,
        qualities=({"key": "k", "architecture_id": "x", "precision": "fp32", "value": None},),
    )
    before = contents_of(one)
    rows.measurements[0]["digest"] = "0" * 64
    rows.measurements[0]["job_id"] = "another"
    with pytest.raises(InputError, match="values that its tables take"):
        merge(one, rows)
    assert contents_of(one) == before


def test_killed_at_any_statement_it_is_all_or_nothing(new_url: NewUrl) -> None:
    source, target = new_url(), new_url()
    with Store(source) as store:
        fill(store)
    with Store(target) as store:
        store.put(measured(0.5))
        before = contents_of(store)
    with Store(new_url(target)) as store, Store(source) as other:
        merge(store, contents_of(other))
        after = contents_of(store)
    found = []
    with storing("merge", source) as process:
        for url in killed_in_turn(process, new_url, target):
            with Store(url) as store:
                found.append(contents_of(store))
    assert found[0] == before
    assert found[-1] == after
    assert [one for one in found if one not in (before, after)] == []


def test_a_put_killed_at_any_statement_is_all_or_nothing(new_url: NewUrl) -> None:
    source = new_url()
    with Store(source) as store:
        store.put(measured(0.01))
        store.add_visit(job(), "a", VISIT, VERSIONS)
    states = []
    with storing("put", source) as process:
        for url in killed_in_turn(process, new_url, source):
            with Store(url) as store:
                states.append((store.measurements(), len(store.visits(job(), "a", VERSIONS))))
    before, after = ([measured(0.01)], 1), ([measured(0.5)], 0)
    assert states[0] == before
    assert states[-1] == after
    assert [state for state in states if state not in (before, after)] == []


latencies = st.sampled_from([0.01, 0.02, 0.03])
kinds = st.sampled_from(["ok", "noisy"])
puts = st.lists(
    st.tuples(st.integers(0, 1), latencies, st.booleans(), st.booleans(), kinds), max_size=5
)


def stored(path: Path, what: list[tuple[int, float, bool, bool, Status]]) -> Contents:
    """Of a new store with these (seed, latency, is a repeat, has memory, status) in turn."""
    empty = path.with_name("empty.db")
    if not empty.exists():
        Store(str(empty)).close()
    shutil.copy(empty, path)
    with Store(str(path)) as store:
        for seed, latency, again, memory, status in what:
            given = measured(latency, job=job(seed), status=status, **(MEMORY if memory else {}))
            if again:
                store.put_repeat(given)
            else:
                store.put(given)
        return contents_of(store)


def values(store: Store) -> set[str]:
    """Every measurement in it, without memory."""
    rows = contents_of(store).measurements
    read = [store.read(Measurement, row["measurement"]) for row in rows]
    return {
        repr(dataclasses.replace(m, memory_bytes=None, memory_above_imports_bytes=None, memory=()))
        for m in read
    }


@settings(max_examples=25)
@given(first=puts, second=puts)
def test_merging_loses_nothing_and_is_idempotent(tmp_path: Path, first: list, second: list) -> None:
    a, b = stored(tmp_path / "a.db", first), stored(tmp_path / "b.db", second)
    with Store(str(tmp_path / "b.db")) as other:
        theirs = values(other)
    with Store(str(tmp_path / "a.db")) as store:
        ours = values(store)
        merge(store, b)
        once = contents_of(store)
        assert values(store) == ours | theirs
        assert merge(store, b) == Merged(known=len(b.measurements))
        assert merge(store, a) == Merged(known=len(a.measurements))
        assert contents_of(store) == once
        assert len(store.measurements()) == len({row["job_id"] for row in once.measurements})
