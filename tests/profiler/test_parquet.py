from __future__ import annotations

import dataclasses
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pyarrow
import pytest
from hypothesis import given, settings
from pyarrow import parquet

from fleetfit import InputError, Measurement, SurroundingsError
from profiler import Contents, Store, contents_of, merge, read_parquet, write_parquet
from tests.fleetfit.strategies import measurements
from tests.profiler.stored import VERSIONS, VISIT, job, measured


@pytest.fixture
def contents(tmp_path: Path) -> Contents:
    with Store(str(tmp_path / "store.db")) as store:
        store.put(measured())
        store.put_repeat(measured(0.02))
        store.put(measured(0.03, versions={"onnxruntime": "1.32.0"}))
        store.add_visit(job(1), "a", VISIT, VERSIONS)
        store.put_quality("k", "x", "fp32", 2.0)
        store.add_reference("a", "t", VERSIONS, 0.001)
        return contents_of(store)


@pytest.fixture
def path(contents: Contents, tmp_path: Path) -> Path:
    write_parquet(contents, tmp_path / "out.parquet")
    return tmp_path / "out.parquet"


def test_what_was_written_is_read(contents: Contents, path: Path) -> None:
    assert read_parquet(path) == contents
    assert [file.name for file in path.parent.glob("*.parquet*")] == ["out.parquet"]


def test_an_empty_store(tmp_path: Path) -> None:
    write_parquet(Contents(), tmp_path / "out.parquet")
    assert read_parquet(tmp_path / "out.parquet") == Contents()


@settings(max_examples=20)
@given(rows=st.lists(st.tuples(measurements, st.booleans()), max_size=4))
def test_an_import_of_an_export_is_the_store(
    tmp_path: Path, rows: list[tuple[Measurement, bool]]
) -> None:
    names = ("one.db", "two.db", "out.parquet")
    one, two, out = (tmp_path / name for name in names)
    for path in (one, two):
        path.unlink(missing_ok=True)
    with Store(str(one)) as store:
        for measurement, again in rows:
            if again:
                store.put_repeat(measurement)
            else:
                store.put(measurement)
        contents = contents_of(store)
        listed, repeated = store.measurements(), store.repeated()
    write_parquet(contents, out)
    with Store(str(two)) as store:
        merge(store, read_parquet(out))
        assert contents_of(store) == contents
        assert store.measurements() == listed
        assert store.repeated() == repeated


def rewritten(path: Path, change: Callable[[list[dict[str, Any]]], object]) -> None:
    """With the rows changed and the metadata as they were."""
    table = parquet.read_table(path)
    rows = table.to_pylist()
    change(rows)
    parquet.write_table(pyarrow.Table.from_pylist(rows, schema=table.schema), path)


def set_cell(name: str, value: object, row: int = 0) -> Callable[[list[dict[str, Any]]], None]:
    def change(rows: list[dict[str, Any]]) -> None:
        rows[row][name] = value

    return change


@pytest.mark.parametrize(
    "change",
    [
        set_cell("status", "noisy"),
        set_cell("measurement", '{"job":1}'),
        set_cell("repeat", 7),
        set_cell("job_id", None),
        set_cell("sha256", "0" * 64),
        set_cell("table", "nonsense"),
        set_cell("table", None),
        set_cell("value", 3.0, row=4),
        set_cell("reference_s", float("nan"), row=5),
        set_cell("visit", "{}", row=3),
        lambda rows: rows.append(rows[0]),
    ],
)
def test_an_edited_row_is_refused(
    path: Path, change: Callable[[list[dict[str, Any]]], object]
) -> None:
    rewritten(path, change)
    with pytest.raises(InputError, match=r"out\.parquet must be as store export wrote it"):
        read_parquet(path)


@pytest.mark.parametrize(
    "change",
    [
        {"measurement": '{"job":1}'},
        {"digest": "0" * 64},
        {"repeat": -1},
    ],
)
def test_rows_that_are_no_measurements_are_refused_though_the_file_is_whole(
    contents: Contents, tmp_path: Path, change: dict[str, Any]
) -> None:
    rows = (contents.measurements[0] | change,)
    write_parquet(dataclasses.replace(contents, measurements=rows), tmp_path / "out.parquet")
    with pytest.raises(InputError, match=r"must be as store export wrote it, but is not"):
        read_parquet(tmp_path / "out.parquet")


@pytest.mark.parametrize(
    ("table", "change"),
    [
        ("visits", {"verdict": "perhaps"}),
        ("visits", {"visit": "{}"}),
        ("visits", {"versions": '{ "a": "b"}'}),
        ("qualities", {"value": float("inf")}),
        ("qualities", {"precision": "fp3"}),
        ("references", {"reference_s": -1.0}),
        ("references", {"versions": "[]"}),
    ],
)
def test_so_are_other_rows_that_hold_nothing_of_theirs(
    contents: Contents, table: str, change: dict[str, Any]
) -> None:
    rows = (getattr(contents, table)[0] | change,)
    broken = dataclasses.replace(contents, **{table: rows})
    with pytest.raises(InputError):
        Contents.checked(broken.by_table())


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 0.999])
def test_a_truncated_file(path: Path, share: float) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(InputError, match=r"out\.parquet must be a Parquet file"):
        read_parquet(path)


@settings(max_examples=30)
@given(at=st.floats(0, 1, exclude_max=True), flip=st.integers(1, 255))
def test_a_damaged_byte_changes_nothing_that_is_read(tmp_path: Path, at: float, flip: int) -> None:
    rows = ({"key": "k", "architecture_id": "x", "precision": "fp32", "value": 2.0},) * 3
    contents = Contents(qualities=rows)
    path = tmp_path / "out.parquet"
    write_parquet(contents, path)
    data = bytearray(path.read_bytes())
    data[int(at * len(data))] ^= flip
    path.write_bytes(data)
    try:
        found = read_parquet(path)
    except InputError:
        return
    assert found == contents


def test_a_file_that_is_missing_or_a_folder(tmp_path: Path) -> None:
    for path in (tmp_path / "no.parquet", tmp_path):
        with pytest.raises(InputError, match="must be a Parquet file that store export wrote"):
            read_parquet(path)


@pytest.mark.parametrize(("version", "said"), [("2", "has 2"), (None, "has none")])
def test_another_format(path: Path, version: str | None, said: str) -> None:
    table = parquet.read_table(path)
    metadata = None if version is None else {"fleetfit.store": version}
    parquet.write_table(table.replace_schema_metadata(metadata), path)
    with pytest.raises(InputError, match=f"export of format 1, but {said}"):
        read_parquet(path)


def test_other_columns(path: Path) -> None:
    table = parquet.read_table(path)
    parquet.write_table(table.drop_columns(["digest"]), path)
    with pytest.raises(InputError, match="must have the columns table, job_id"):
        read_parquet(path)


def test_without_pyarrow(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(SurroundingsError, match=r"pip install 'fleetfit\[tables\]'"):
        read_parquet(path)


def test_profiler_loads_neither_pandas_nor_pyarrow() -> None:
    code = (
        "import sys, profiler; print(*{'pandas', 'pyarrow', 'alembic', 'psycopg'} & {*sys.modules})"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == ""
