"""The emitted graph against the PyTorch network of the same weights."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
import pytest

from exporters import (
    INPUTS,
    emit,
    make_inputs,
    model_bytes,
    random_weights,
    runtime,
)
from exporters.emit import IR_VERSION, OPSET
from exporters.fake import FakeRuntime
from exporters.runtime import Outputs, Runtime
from fleetfit import (
    Architecture,
    Head,
    InputError,
    Layer,
    SelfAttention,
    SeparableConv,
    Target,
    Workload,
    weight_shapes,
)
from supernet.network import EncoderNetwork
from supernet.spaces import ElasticSpace, SuperShaperSpace

HEADS = {
    "none": Head(),
    "masked_lm": Head(kind="masked_lm"),
    "span": Head(kind="span", outputs=2),
    "classification-mean": Head(kind="classification", pooling="mean", outputs=5),
    "classification-first": Head(kind="classification", pooling="first", outputs=5),
    "embedding-mean": Head(kind="embedding", pooling="mean"),
    "embedding-first": Head(kind="embedding", pooling="first"),
}
RUNTIME_NAMES = ("fake", "onnxruntime", "openvino")


def run(
    name: str, arch: Architecture, inputs: Any, directory: Path, workload: Workload | None = None
) -> list[Outputs]:
    """Outputs of the emitted network of ``random_weights(arch)`` in a runtime."""
    model = emit(arch, random_weights(arch), workload=workload)
    chosen: Runtime = FakeRuntime() if name == "fake" else runtime(name)
    target = Target(runtime=chosen.name, shapes="dynamic" if workload is None else "fixed")
    artifact = chosen.build(model, target, workload or Workload(), directory)
    session = chosen.load(artifact)
    return [session.run(i) for i in inputs]


def agree(arch: Architecture, inputs: Any, outputs: list[Outputs]) -> None:
    network = EncoderNetwork.of(arch, random_weights(arch))
    for given, found in zip(inputs, outputs, strict=True):
        wanted = network.reference(given)
        assert list(found) == list(wanted) == [arch.head.output]
        for key, array in wanted.items():
            assert found[key].dtype == np.float32
            np.testing.assert_allclose(found[key], array, atol=2e-5, rtol=0)


@pytest.mark.parametrize("name", RUNTIME_NAMES)
@pytest.mark.parametrize("head", HEADS)
def test_every_head_equals_pytorch(
    name: str, head: str, mixed: Architecture, tmp_path: Path
) -> None:
    arch = mixed.with_head(HEADS[head])
    workloads = [Workload(batch=2, seq_len=9, padding=0.3), Workload(batch=1, seq_len=40)]
    inputs = [make_inputs(arch.embedding, w, seed=1, count=1)[0] for w in workloads]
    agree(arch, inputs, run(name, arch, inputs, tmp_path))


@pytest.mark.parametrize("name", RUNTIME_NAMES)
@pytest.mark.parametrize("head", HEADS)
def test_fixed_shapes_equal_pytorch(
    name: str, head: str, mixed: Architecture, tmp_path: Path
) -> None:
    arch = mixed.with_head(HEADS[head])
    workload = Workload(batch=2, seq_len=9, padding=0.3)
    inputs = make_inputs(arch.embedding, workload, seed=2, count=2)
    agree(arch, inputs, run(name, arch, inputs, tmp_path, workload))


@pytest.mark.parametrize("activation", ["gelu", "gelu_tanh", "relu"])
def test_every_activation_equals_pytorch(
    activation: Literal["gelu", "gelu_tanh", "relu"], mixed: Architecture, tmp_path: Path
) -> None:
    arch = dataclasses.replace(mixed, activation=activation, norm_eps=1e-3)
    inputs = make_inputs(arch.embedding, Workload(seq_len=12), seed=3, count=1)
    agree(arch, inputs, run("onnxruntime", arch, inputs, tmp_path))


def test_sampled_members_equal_pytorch(
    tiny_space: ElasticSpace, rng: np.random.Generator, tmp_path: Path
) -> None:
    for _ in range(5):
        arch = tiny_space.sample(rng)
        inputs = make_inputs(
            arch.embedding, Workload(batch=2, seq_len=20, padding=0.2), seed=4, count=1
        )
        agree(arch, inputs, run("onnxruntime", arch, inputs, tmp_path))


@pytest.mark.parametrize("name", RUNTIME_NAMES)
def test_a_projection_between_equal_widths_is_emitted(
    name: str, tiny_source: Architecture, tmp_path: Path
) -> None:
    space = SuperShaperSpace.of(tiny_source)
    inputs = make_inputs(
        tiny_source.embedding, Workload(batch=2, seq_len=20, padding=0.2), seed=6, count=1
    )
    for arch in (space.largest(), space.smallest()):
        assert all(f"layers.{i}.projection.weight" in weight_shapes(arch) for i in range(3))
        agree(arch, inputs, run(name, arch, inputs, tmp_path))


@pytest.mark.parametrize("name", RUNTIME_NAMES)
@pytest.mark.parametrize("head", ["none", "classification-mean", "embedding-mean"])
def test_padding_changes_nothing(name: str, head: str, mixed: Architecture, tmp_path: Path) -> None:
    arch = mixed.with_head(HEADS[head])
    (short,) = make_inputs(arch.embedding, Workload(seq_len=9), seed=5, count=1)
    long = {key: np.pad(array, ((0, 0), (0, 7))) for key, array in short.items()}
    other = {**long, "input_ids": long["input_ids"].copy()}
    other["input_ids"][:, 9:] = 7
    outputs = run(name, arch, [short, long, other], tmp_path)
    for padded in outputs[1:]:
        for key, array in outputs[0].items():
            found = padded[key][:, :9] if array.ndim == 3 else padded[key]
            np.testing.assert_allclose(found, array, atol=2e-6, rtol=0)


@pytest.mark.parametrize("name", RUNTIME_NAMES)
def test_a_row_of_padding_alone_gives_finite_numbers(
    name: str, mixed: Architecture, tmp_path: Path
) -> None:
    arch = mixed.with_head(HEADS["embedding-mean"])
    inputs = {key: np.zeros((1, 4), dtype=np.int64) for key in INPUTS}
    (outputs,) = run(name, arch, [inputs], tmp_path)
    assert np.isfinite(outputs["embedding"]).all()


@pytest.mark.parametrize("workload", [None, Workload(batch=2, seq_len=9)])
@pytest.mark.parametrize("head", HEADS)
def test_the_checker_finds_a_valid_model_of_the_stated_versions(
    head: str, workload: Workload | None, mixed: Architecture
) -> None:
    arch = mixed.with_head(HEADS[head])
    model = emit(arch, random_weights(arch), workload=workload)
    onnx.checker.check_model(model, full_check=True)
    assert model.ir_version == IR_VERSION
    assert [(o.domain, o.version) for o in model.opset_import] == [("", OPSET)]
    assert tuple(i.name for i in model.graph.input) == INPUTS


def test_dynamic_axes_are_named(mixed: Architecture) -> None:
    model = emit(mixed, random_weights(mixed))
    for given in model.graph.input:
        assert [d.dim_param for d in given.type.tensor_type.shape.dim] == ["batch", "seq"]


def test_the_same_network_gives_the_same_bytes(mixed: Architecture) -> None:
    weights = random_weights(mixed)
    backwards = dict(reversed(list(weights.items())))
    first = model_bytes(emit(mixed, weights))
    assert first == model_bytes(emit(mixed, backwards))


def test_weights_are_inside_once_and_nothing_is_transposed_at_run_time(
    tiny_source: Architecture,
) -> None:
    arch = tiny_source.with_head(Head(kind="masked_lm"))
    weights = random_weights(arch)
    model = emit(arch, weights)
    held = sum(len(t.raw_data) for t in model.graph.initializer if t.data_type == 1)
    assert held - 4 * 2 == sum(a.nbytes for a in weights.values())
    weight_names = {t.name for t in model.graph.initializer}
    transposed = [n for n in model.graph.node if n.op_type == "Transpose"]
    assert not {name for node in transposed for name in node.input} & weight_names


def test_norm_and_gelu_are_single_nodes(tiny_source: Architecture) -> None:
    model = emit(tiny_source, random_weights(tiny_source))
    kinds = [n.op_type for n in model.graph.node]
    assert kinds.count("LayerNormalization") == 1 + 2 * 3
    assert kinds.count("Gelu") == 3
    assert kinds.count("MatMul") == 3 * (1 + 2 + 1 + 2)


def test_a_workload_beyond_the_positions_is_refused(mixed: Architecture) -> None:
    with pytest.raises(InputError, match="40 positions"):
        emit(mixed, random_weights(mixed), workload=Workload(seq_len=41))


def test_weights_that_do_not_fit_are_refused(mixed: Architecture) -> None:
    weights = dict(random_weights(mixed))
    del weights["embedding.norm.bias"]
    with pytest.raises(InputError, match=r"norm\.bias. is missing"):
        emit(mixed, weights)


def test_other_sublayers_and_scores_are_refused(mixed: Architecture) -> None:
    layer = Layer(width=24, sublayers=(SeparableConv(kernel=3),), projected=False, source=0)
    with pytest.raises(InputError, match="SeparableConv"):
        emit(Architecture(embedding=mixed.embedding, layers=(layer,)), {})
    attention = SelfAttention(heads=2, head_dim=12, score="wma")
    arch = Architecture(
        embedding=mixed.embedding,
        layers=(Layer(width=24, sublayers=(attention,), projected=False, source=0),),
    )
    with pytest.raises(InputError, match="wma"):
        emit(arch, random_weights(arch))
