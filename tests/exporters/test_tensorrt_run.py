"""Runs of an engine: shapes, buffers, graphs, times and errors; on stand-ins."""

from __future__ import annotations

import gc
import json
from typing import Any

import numpy as np
import pytest

import profiler.memory_child
from exporters import Artifact, Session, make_inputs
from exporters.tensorrt_gpu import TensorRtGpu
from fleetfit import Architecture, InputError, SurroundingsError, Workload
from tests.exporters.cuda_fake import OUT_OF_MEMORY
from tests.exporters.tensorrt_fake import FakeTensorRt
from tests.exporters.tensorrt_targets import FIXED, WORKLOAD, Make, one_input


def test_a_batch_above_the_profile_is_refused(
    adapter: TensorRtGpu, make: Make, mixed: Architecture
) -> None:
    session = adapter.load(make())
    assert session.run(one_input(mixed, Workload(batch=4, seq_len=3)))["logits"].shape == (4, 5)
    with pytest.raises(InputError, match=r"to \(4, 40\), which the engine was built for"):
        session.run(one_input(mixed, Workload(batch=5, seq_len=3)))


def test_a_graph_is_recorded_once_and_replayed(
    trt: FakeTensorRt, adapter: TensorRtGpu, make: Make, mixed: Architecture
) -> None:
    plain = adapter.load(make(FIXED))
    replayed = adapter.load(make(FIXED, cuda_graph=True))
    assert replayed.properties["cuda_graph"] == "False"  # nothing is recorded yet
    for number, inputs in enumerate(make_inputs(mixed.embedding, WORKLOAD, seed=5, count=3)):
        found = replayed.run(inputs)["logits"]
        np.testing.assert_allclose(found, plain.run(inputs)["logits"], atol=1e-6)
        assert trt.cuda.launches == number
        assert replayed.properties["cuda_graph"] == "True"
        assert plain.properties["cuda_graph"] == "False"
    assert trt.cuda.recorded is None
    assert (trt.cuda.alive["graph"], trt.cuda.alive["ready graph"]) == (0, 1)


def test_a_recording_that_fails_leaves_the_stream_usable(
    trt: FakeTensorRt, adapter: TensorRtGpu, make: Make, mixed: Architecture
) -> None:
    session = adapter.load(make(FIXED, cuda_graph=True))
    trt.cuda.fails["cudaGraphInstantiate"] = OUT_OF_MEMORY
    with pytest.raises(SurroundingsError, match=r"cudaGraphInstantiate.*what 2 means \(error 2\)"):
        session.run(one_input(mixed))
    assert (trt.cuda.recorded, trt.cuda.alive["graph"]) == (None, 0)
    trt.cuda.fails.clear()
    assert session.run(one_input(mixed))["logits"].shape == (2, 5)


def test_the_device_times_its_part_of_a_run(
    adapter: TensorRtGpu, make: Make, mixed: Architecture
) -> None:
    session = adapter.load(make())
    assert session.device_s is None
    session.run(one_input(mixed))
    assert session.device_s is not None
    assert 0 < session.device_s < 60


@pytest.mark.parametrize("refused", ["execute_async_v3", "set_input_shape", "set_tensor_address"])
def test_a_run_that_fails_is_one_sentence_and_the_next_one_works(
    trt: FakeTensorRt, adapter: TensorRtGpu, make: Make, mixed: Architecture, refused: str
) -> None:
    session = adapter.load(make())
    trt.refuses.add(refused)
    with pytest.raises(SurroundingsError, match="TensorRT must"):
        session.run(one_input(mixed))
    trt.refuses.clear()
    assert session.run(one_input(mixed))["logits"].shape == (2, 5)


@pytest.mark.parametrize(
    "function", ["cudaMalloc", "cudaMallocHost", "cudaMemcpyAsync", "cudaStreamSynchronize"]
)
def test_an_error_of_cuda_is_one_sentence(
    trt: FakeTensorRt, adapter: TensorRtGpu, make: Make, mixed: Architecture, function: str
) -> None:
    session = adapter.load(make())
    trt.cuda.fails[function] = OUT_OF_MEMORY
    with pytest.raises(SurroundingsError, match=rf"take {function}, but CUDA says: what 2 means"):
        session.run(one_input(mixed))


def test_memory_is_given_back(
    trt: FakeTensorRt, adapter: TensorRtGpu, make: Make, mixed: Architecture
) -> None:
    session: Session | None = adapter.load(make())
    assert session is not None
    for seq in (3, 9, 4):
        session.run(one_input(mixed, Workload(batch=2, seq_len=seq)))
        assert len(trt.cuda.blocks) == 2 * 4  # three inputs and an output, here and there
    session = None
    gc.collect()
    assert trt.cuda.blocks == {}
    assert +trt.cuda.alive == {}


def test_the_memory_child_runs_the_engine_as_the_adapter_does(
    trt: FakeTensorRt, adapter: TensorRtGpu, make: Make, mixed: Architecture
) -> None:
    artifact = make(precision="fp16")
    library, load = profiler.memory_child.LOADERS["tensorrt"]
    assert library() is trt
    options = json.loads(json.dumps(adapter.options(artifact.target)))
    _, run = load(artifact.path, options)
    session = adapter.load(artifact)
    for inputs in make_inputs(mixed.embedding, WORKLOAD, seed=7, count=2):
        (found,) = run(dict(inputs))
        np.testing.assert_array_equal(found, session.run(inputs)["logits"])


@pytest.mark.parametrize(
    ("refused", "fails", "said"),
    [
        ("deserialize_cuda_engine", "", "does not load"),
        ("create_execution_context", "", "does not load"),
        ("execute_async_v3", "", "does not run"),
        ("set_input_shape", "", r"does not take \(2, 8\) for input_ids"),
        ("set_tensor_address", "", "does not take memory for input_ids"),
        ("", "cudaMalloc", "cudaMalloc fails with CUDA's error 2"),
    ],
)
def test_the_memory_child_says_what_failed(
    trt: FakeTensorRt,
    adapter: TensorRtGpu,
    make: Make,
    mixed: Architecture,
    refused: str,
    fails: str,
    said: str,
) -> None:
    artifact = make()
    trt.refuses.add(refused)
    trt.cuda.fails[fails] = OUT_OF_MEMORY
    with pytest.raises(RuntimeError, match=said):
        load_and_run(artifact, adapter, mixed)


def load_and_run(artifact: Artifact, adapter: TensorRtGpu, mixed: Architecture) -> None:
    _, load = profiler.memory_child.LOADERS["tensorrt"]
    _, run = load(artifact.path, adapter.options(artifact.target))
    run(dict(one_input(mixed)))


def test_a_spoilt_recording_leaves_no_graph(
    trt: FakeTensorRt,
    adapter: TensorRtGpu,
    make: Make,
    mixed: Architecture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    session = adapter.load(make(FIXED, cuda_graph=True))
    begin = trt.cuda.cudaStreamBeginCapture

    def begin_and_refuse(*args: Any) -> Any:
        trt.refuses.add("execute_async_v3")
        return begin(*args)

    monkeypatch.setattr(trt.cuda, "cudaStreamBeginCapture", begin_and_refuse)
    with pytest.raises(SurroundingsError, match="run the engine"):
        session.run(one_input(mixed))
    assert (trt.cuda.recorded, trt.cuda.alive["graph"]) == (None, 0)


def test_memory_is_taken_for_longer_inputs_alone(
    trt: FakeTensorRt, adapter: TensorRtGpu, make: Make, mixed: Architecture
) -> None:
    artifact = make()
    session, taken = adapter.load(artifact), []
    for seq in (3, 4, 2, 6, 4, 6, 5, 40, 1, 40):
        inputs = one_input(mixed, Workload(batch=2, seq_len=seq))
        found, fresh = session.run(inputs), adapter.load(artifact).run(inputs)
        np.testing.assert_allclose(found["logits"], fresh["logits"], atol=1e-6)
        gc.collect()
        taken.append(max(len(block) for block in trt.cuda.blocks.values()) // (2 * 8))
    # Twice as much at least, where it does not suffice.
    assert taken == [3, 6, 6, 6, 6, 6, 6, 40, 40, 40]


def test_no_more_memory_is_taken_than_the_engine_can_use(
    trt: FakeTensorRt, adapter: TensorRtGpu, make: Make, mixed: Architecture
) -> None:
    session = adapter.load(make())  # of at most 4 x 40
    for seq, most in ((30, 30), (35, 40)):  # not 60
        session.run(one_input(mixed, Workload(batch=4, seq_len=seq)))
        gc.collect()
        assert max(len(block) for block in trt.cuda.blocks.values()) // (4 * 8) == most


def test_an_address_is_told_when_it_changes(
    trt: FakeTensorRt, adapter: TensorRtGpu, make: Make, mixed: Architecture
) -> None:
    session = adapter.load(make())
    session.run(one_input(mixed, Workload(batch=2, seq_len=40)))
    assert trt.context is not None
    before, calls = trt.context.told, trt.cuda.calls["cudaMalloc"]
    assert (before, calls) == (4, 4)  # three inputs and an output
    for seq in (1, 7, 39):
        session.run(one_input(mixed, Workload(batch=1, seq_len=seq)))
    assert (trt.context.told, trt.cuda.calls["cudaMalloc"]) == (before, calls)


def test_memory_that_ran_out_is_taken_later(
    trt: FakeTensorRt, adapter: TensorRtGpu, make: Make, mixed: Architecture
) -> None:
    session = adapter.load(make())
    small, large = (one_input(mixed, Workload(batch=2, seq_len=s)) for s in (4, 30))
    wanted = session.run(small)["logits"]
    trt.cuda.fails["cudaMallocHost"] = OUT_OF_MEMORY
    with pytest.raises(SurroundingsError, match="cudaMallocHost"):
        session.run(large)
    trt.cuda.fails.clear()
    assert session.run(large)["logits"].shape == (2, 5)
    np.testing.assert_allclose(session.run(small)["logits"], wanted, atol=1e-6)


def test_it_runs_on_the_gpu_that_is_meant(
    trt: FakeTensorRt, adapter: TensorRtGpu, make: Make, mixed: Architecture
) -> None:
    artifact = make()
    trt.cuda.device = 1  # as another library may leave it
    session = adapter.load(artifact)
    trt.cuda.device = 1
    session.run(one_input(mixed))
    assert trt.cuda.device == 0
