"""Members taken from a task supernet: what is taken computes what the slice does, in ONNX too."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from exporters import check_parity, emit, runtime
from fleetfit import Architecture, Head, InputError, Target, Workload
from supernet import checkpoint
from supernet.checkpoint import Checkpoint
from supernet.model import Supernet
from supernet.network import EncoderNetwork
from supernet.spaces import MemberScores, TaskRecord
from supernet.task_member import member_model, read_member
from supernet.task_model import write_task_model
from tests.supernet.test_checkpoint import ORDER, config_of
from tests.supernet.tiny import (
    batch,
    members,
    tiny_space,
    tiny_spaces,
    tiny_supernet,
    train,
    write_tokenizer,
)

CLASSES = TaskRecord(
    name="train.csv",
    kind="classification",
    head=Head(kind="classification", pooling="mean", outputs=3),
    labels=("a", "b", "c"),
    metrics=("accuracy",),
    pairs=False,
    max_length=16,
)
SPANS = TaskRecord(
    name="squad",
    kind="span",
    head=Head(kind="span", outputs=2),
    labels=(),
    metrics=("f1", "exact_match"),
    pairs=True,
    max_length=30,
)


def written(
    directory: Path, record: TaskRecord | None = CLASSES, *, kind: str = "elastic"
) -> Checkpoint:
    """A trained supernet with its task head, on disk and back."""
    supernet: Supernet = train(tiny_supernet(kind), steps=2)
    config = config_of(supernet)
    if record is not None:
        supernet = supernet.with_task(record.head, seed=6)
        config = dataclasses.replace(config, task=record, licences={"task text": "CC0-1.0"})
    tokenizer = write_tokenizer(directory / "words.json")
    checkpoint.save(directory / "out", supernet, config, like=(tokenizer, ORDER))
    return checkpoint.load(directory / "out")


@pytest.mark.parametrize("record", [CLASSES, SPANS], ids=lambda r: r.kind)
@pytest.mark.parametrize("kind", sorted(tiny_spaces()))
def test_slice_taken_member_and_onnx_give_the_same_logits(
    kind: str, record: TaskRecord, tmp_path: Path
) -> None:
    loaded = written(tmp_path, record, kind=kind)
    adapter = runtime("onnxruntime")
    for name, arch in members(loaded.config.space).items():
        model, weights = member_model(loaded, arch)
        network = EncoderNetwork.of(model.architecture, weights)
        graph, target = emit(model.architecture, weights), Target(runtime="onnxruntime")
        session = adapter.load(adapter.build(graph, target, Workload(), tmp_path / name))
        embedding = arch.embedding
        check_parity(session, network.reference, embedding, "fp32")  # which raises
        rows = batch()
        inputs = {
            "input_ids": rows.input_ids.numpy(),
            "attention_mask": rows.attention_mask.numpy(),
            "token_type_ids": rows.token_type_ids.numpy(),
        }
        with torch.no_grad():
            sliced = loaded.supernet(rows, arch.with_head(record.head)).logits
        assert sliced is not None
        seen = rows.attention_mask.bool().numpy() if record is SPANS else slice(None)
        for found in (network.reference(inputs), session.run(inputs)):
            np.testing.assert_allclose(found["logits"][seen], sliced.numpy()[seen], atol=1e-4)


def test_a_member_says_what_it_knows_of_the_task(tmp_path: Path) -> None:
    space = tiny_space()
    scored = MemberScores(
        name="smallest", body=space.smallest().id, dev={"accuracy": 0.5}, test={"accuracy": 0.25}
    )
    loaded = written(tmp_path, dataclasses.replace(CLASSES, scores=(scored,)))
    verified = space.smallest().with_head(Head(kind="classification", pooling="first", outputs=9))
    model, _ = member_model(loaded, verified)  # a search may have measured under another head
    assert model.architecture == space.smallest().with_head(CLASSES.head)
    assert (model.labels, model.metrics, model.task) == (
        ("a", "b", "c"),
        ("accuracy",),
        "train.csv",
    )
    assert (model.dev, model.test) == ({"accuracy": 0.5}, {"accuracy": 0.25})
    assert model.licences == {"task text": "CC0-1.0"}
    assert model.provenance["task supernet"] == loaded.sha256[:16]
    other, _ = member_model(loaded, space.largest())
    assert (other.dev, other.test) == ({}, None)


def test_a_member_comes_from_the_directory_of_its_supernet(tmp_path: Path) -> None:
    loaded = written(tmp_path)
    arch = loaded.config.space.smallest()
    model, weights = read_member(tmp_path / "out", arch)
    wanted = member_model(loaded, arch)
    assert model == wanted[0]
    assert all(np.array_equal(weights[name], value) for name, value in wanted[1].items())


def test_a_network_comes_from_its_directory_whatever_member_is_asked(tmp_path: Path) -> None:
    loaded = written(tmp_path)
    model, weights = member_model(loaded, loaded.config.space.smallest())
    write_task_model(tmp_path / "one", model, weights, loaded.tokenizer_path)
    assert read_member(tmp_path / "one", None)[0] == model
    assert read_member(tmp_path / "one", loaded.config.space.largest())[0] == model


def test_a_supernet_without_a_task_has_no_members_to_take(tmp_path: Path) -> None:
    loaded = written(tmp_path, None)
    with pytest.raises(InputError, match=r"must have learned a task .* finetune --supernet"):
        member_model(loaded, loaded.config.space.largest())


def test_of_a_supernet_a_member_must_be_chosen(tmp_path: Path) -> None:
    written(tmp_path)
    with pytest.raises(InputError, match=r"one must be chosen, .* --verified or --architecture"):
        read_member(tmp_path / "out", None)


@pytest.mark.parametrize(
    "arch",
    [
        tiny_space().build(32, [(32, 3, 64)] * 3),
        members(tiny_spaces()["supershaper"])["growing"],
    ],
    ids=["heads", "space"],
)
def test_what_is_no_member_is_refused(arch: Architecture, tmp_path: Path) -> None:
    loaded = written(tmp_path)
    with pytest.raises(InputError, match=r"must be a member of this supernet .* the search"):
        member_model(loaded, arch)
