"""Outputs are compared with those of the plain graph before anything is timed."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from devices import describe
from exporters import Artifact, Inputs, Outputs, Session, all_targets
from fleetfit import InputError, Query, SurroundingsError, Target, Workload
from profiler.artifacts import built, load_timed, ready_inputs
from profiler.outputs import checked_run, expected_outputs
from supernet.spaces import ElasticSpace


@pytest.fixture
def query(space: ElasticSpace) -> Query:
    target = Target(runtime="onnxruntime")
    return Query(architecture=space.largest(), target=target, workload=Workload(seq_len=16))


@pytest.fixture
def artifact(query: Query, tmp_path: Path) -> Artifact:
    return built(query, tmp_path, seed=0).artifact


class Off(Session):
    """A session that adds to the first number of its output."""

    def __init__(self, session: Session, change: float) -> None:
        self._session, self._change = session, change

    @property
    def shape(self) -> tuple[int, int] | None:
        return self._session.shape

    @property
    def outputs(self) -> tuple[str, ...]:
        return self._session.outputs

    @property
    def properties(self) -> dict[str, str]:
        return self._session.properties

    def run(self, inputs: Inputs) -> Outputs:
        found = {name: values.copy() for name, values in self._session.run(inputs).items()}
        next(iter(found.values())).flat[0] += self._change
        return found


@pytest.mark.parametrize(
    "target",
    [pytest.param(t, marks=[pytest.mark.gpu] * (t.provider == "cuda"))
     for t in all_targets(describe(), threads=1)],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize(
    "workload",
    [Workload(seq_len=16), Workload(batch=3, seq_len=16, padding=0.3),
     Workload(seq_len=16, lengths=(7,)), Workload(batch=2, seq_len=16, lengths=(2, 5, 9, 16))],
    ids=str,
)  # fmt: skip
def test_every_target_agrees_with_the_plain_graph(
    query: Query, tmp_path: Path, target: Target, workload: Workload
) -> None:
    other = dataclasses.replace(query, target=target, workload=workload)
    found = built(other, tmp_path, seed=0)
    expected = expected_outputs(other, found.artifact, tmp_path, seed=0, plain=found.plain)
    loaded = load_timed(found.artifact)
    inputs, first_run_s = ready_inputs(loaded.session, other, seed=0, count=8, expected=expected)
    assert len(inputs) == 8
    assert min(first_run_s, loaded.load_s, loaded.import_s) > 0


def test_the_file_is_written_once_for_each_model(
    query: Query, artifact: Artifact, tmp_path: Path
) -> None:
    first = expected_outputs(query, artifact, tmp_path, seed=0)
    before = first.read_bytes()
    Path(artifact.path).unlink()
    assert expected_outputs(query, artifact, tmp_path, seed=0) == first
    assert first.read_bytes() == before
    other = built(query, tmp_path, seed=1).artifact
    assert expected_outputs(query, other, tmp_path, seed=0) != first


@pytest.mark.parametrize(
    ("change", "said"),
    [(1e-3, "agree with the plain ONNX graph"), (np.nan, "finite"), (np.inf, "finite")],
)
def test_outputs_that_differ_are_refused(
    query: Query, artifact: Artifact, tmp_path: Path, change: float, said: str
) -> None:
    expected = expected_outputs(query, artifact, tmp_path, seed=0)
    session = load_timed(artifact).session
    assert checked_run(Off(session, 0.0), expected, query.target) > 0
    with pytest.raises(SurroundingsError, match=said):
        checked_run(Off(session, change), expected, query.target)


def test_outputs_of_another_name_are_the_runtime_s_fault(
    query: Query, artifact: Artifact, tmp_path: Path
) -> None:
    expected = expected_outputs(query, artifact, tmp_path, seed=0)
    with np.load(expected) as file:
        arrays = {k: file[k] for k in file.files if k.startswith("input:")}
    np.savez(expected, other=np.zeros(1, dtype=np.float32), **arrays)
    with pytest.raises(SurroundingsError, match="must compute the ONNX graph"):
        checked_run(load_timed(artifact).session, expected, query.target)


def test_a_damaged_file_is_named(query: Query, artifact: Artifact, tmp_path: Path) -> None:
    bad, session = tmp_path / "bad.npz", load_timed(artifact).session
    for data in (b"", b"no zip at all"):
        bad.write_bytes(data)
        with pytest.raises(InputError, match=r"bad\.npz"):
            checked_run(session, bad, query.target)
    np.savez(bad, hidden=np.zeros(1))
    with pytest.raises(InputError, match="input_ids"):
        checked_run(session, bad, query.target)


def test_a_built_artefact_is_found_again_with_its_time(query: Query, tmp_path: Path) -> None:
    first = built(query, tmp_path, seed=0)
    assert built(query, tmp_path, seed=0) == first
    assert first.build_s > 0
