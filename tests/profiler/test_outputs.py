"""Outputs are compared with those of the plain graph before anything is timed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from exporters import RUNTIMES, make_inputs
from fleetfit import InputError, Query, RuntimeName, SurroundingsError, Target, Workload
from profiler.artifacts import built, load_timed, ready_inputs
from profiler.outputs import check_outputs, expected_outputs
from supernet.spaces import ElasticSpace


@pytest.fixture
def query(space: ElasticSpace) -> Query:
    target = Target(runtime="onnxruntime")
    return Query(architecture=space.largest(), target=target, workload=Workload(seq_len=16))


@pytest.fixture
def model(query: Query, tmp_path: Path) -> Path:
    return Path(built(query, tmp_path, seed=0).artifact.path)


@pytest.mark.parametrize("name", RUNTIMES)
def test_every_runtime_agrees_with_the_plain_graph(
    query: Query, tmp_path: Path, name: RuntimeName
) -> None:
    if not RUNTIMES[name].available():
        pytest.skip(f"{name} is not installed")
    import dataclasses

    other = dataclasses.replace(query, target=Target(runtime=name))
    found = built(other, tmp_path, seed=0)
    expected = expected_outputs(other, Path(found.artifact.path), tmp_path, seed=0)
    loaded = load_timed(found.artifact)
    inputs, first_run_s = ready_inputs(loaded.session, other, seed=0, count=3, expected=expected)
    assert len(inputs) == 3
    assert min(first_run_s, loaded.load_s, loaded.import_s) > 0


def test_the_file_is_written_once(query: Query, model: Path, tmp_path: Path) -> None:
    first = expected_outputs(query, model, tmp_path, seed=0)
    before = first.read_bytes()
    model.unlink()
    assert expected_outputs(query, model, tmp_path, seed=0) == first
    assert first.read_bytes() == before


@pytest.mark.parametrize(
    ("change", "said"),
    [(1e-3, "agree with the plain ONNX graph"), (np.nan, "finite"), (np.inf, "finite")],
)
def test_outputs_that_differ_are_refused(
    query: Query, model: Path, tmp_path: Path, change: float, said: str
) -> None:
    expected = expected_outputs(query, model, tmp_path, seed=0)
    with np.load(expected) as file:
        good = {name: file[name] for name in file.files}
    (inputs,) = make_inputs(query.architecture.embedding, query.workload, seed=0, count=1)
    check_outputs(good, expected, inputs, query.target)
    off = {name: values.copy() for name, values in good.items()}
    next(iter(off.values())).flat[0] += change
    with pytest.raises(SurroundingsError, match=said):
        check_outputs(off, expected, inputs, query.target)


def test_a_damaged_file_is_named(query: Query, model: Path, tmp_path: Path) -> None:
    (inputs,) = make_inputs(query.architecture.embedding, query.workload, seed=0, count=1)
    bad = tmp_path / "bad.npz"
    for data in (b"", b"no zip at all"):
        bad.write_bytes(data)
        with pytest.raises(InputError, match=r"bad\.npz"):
            check_outputs({}, bad, inputs, query.target)


def test_a_built_artefact_is_found_again_with_its_time(query: Query, tmp_path: Path) -> None:
    first = built(query, tmp_path, seed=0)
    assert built(query, tmp_path, seed=0) == first
    assert first.build_s > 0
