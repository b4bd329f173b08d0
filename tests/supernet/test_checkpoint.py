"""A supernet on disk: what is written comes back, what is damaged is refused by name."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from fleetfit import Head, InputError
from supernet import checkpoint
from supernet.model import Supernet
from supernet.spaces import (
    AutoTinyBertSpace,
    CheckpointConfig,
    ElasticSpace,
    MemberScores,
    SuperShaperSpace,
    TaskRecord,
    name_of_space,
)
from tests.supernet.tiny import batch, tiny_spaces, tiny_supernet, train, write_tokenizer

ORDER = list(reversed(range(32)))
SPANS = TaskRecord(
    name="squad",
    kind="span",
    head=Head(kind="span", outputs=2),
    labels=(),
    metrics=("f1", "exact_match"),
    pairs=True,
    max_length=30,
)
INTENTS = TaskRecord(
    name="train.csv",
    kind="classification",
    head=Head(kind="classification", pooling="first", outputs=3),
    labels=("a", "b", "c"),
    metrics=("accuracy",),
    pairs=False,
    max_length=16,
    scores=(
        MemberScores(
            name="smallest",
            body=tiny_supernet().space.smallest().id,
            dev={"accuracy": 0.5},
            test={"accuracy": 0.25},
        ),
    ),
)


def config_of(supernet: Supernet) -> CheckpointConfig:
    space = supernet.space
    assert isinstance(space, ElasticSpace | SuperShaperSpace | AutoTinyBertSpace)
    return CheckpointConfig(
        space_name=name_of_space(space.choices),
        source=space.source,
        choices=space.choices,
        pooling="mean",
        max_length=32,
    )


def written(
    tmp_path: Path, kind: str = "elastic", *, dtype: torch.dtype = torch.float32
) -> tuple[Path, Supernet]:
    supernet = train(tiny_supernet(kind), steps=1)
    tokenizer = write_tokenizer(tmp_path / "words.json")
    path = tmp_path / "out"
    checkpoint.save(path, supernet, config_of(supernet), like=(tokenizer, ORDER), dtype=dtype)
    return path, supernet


@pytest.mark.parametrize("kind", sorted(tiny_spaces()))
def test_a_checkpoint_comes_back_as_it_was(tmp_path: Path, kind: str) -> None:
    path, supernet = written(tmp_path, kind)
    loaded = checkpoint.load(path)
    ours, theirs = loaded.supernet.tensors(), supernet.tensors()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert loaded.stream_order == tuple(ORDER)
    assert loaded.config.max_length == 32
    assert loaded.supernet.space == supernet.space
    assert type(loaded.supernet.sublayers) is type(supernet.sublayers)
    smallest = supernet.space.smallest()
    with torch.no_grad():
        first, again = (s(batch(), smallest).hidden for s in (supernet, loaded.supernet))
    assert torch.equal(first, again)
    assert len(loaded.sha256) == 64
    assert loaded.tokenizer_path.read_bytes() == (tmp_path / "words.json").read_bytes()


def test_half_precision_on_disk_is_single_in_memory(tmp_path: Path) -> None:
    path, supernet = written(tmp_path, dtype=torch.float16)
    stored = load_file(path / "supernet.safetensors")
    assert {t.dtype for name, t in stored.items() if name != "stream_order"} == {torch.float16}
    loaded = checkpoint.load(path).supernet.tensors()
    for name, value in supernet.tensors().items():
        assert loaded[name].dtype == torch.float32
        assert torch.equal(loaded[name], value.half().float())


def written_task(tmp_path: Path, record: TaskRecord) -> tuple[Path, Supernet]:
    supernet = tiny_supernet().with_task(record.head, seed=2)
    config = dataclasses.replace(config_of(supernet), task=record)
    tokenizer = write_tokenizer(tmp_path / "words.json")
    checkpoint.save(tmp_path / "out", supernet, config, like=(tokenizer, ORDER))
    return tmp_path / "out", supernet


@pytest.mark.parametrize("record", [INTENTS, SPANS], ids=lambda r: r.kind)
def test_a_task_comes_back_with_its_head(tmp_path: Path, record: TaskRecord) -> None:
    path, supernet = written_task(tmp_path, record)
    loaded = checkpoint.load(path)
    assert loaded.config.task == record
    assert loaded.supernet.task == record.head
    ours, theirs = loaded.supernet.tensors(), supernet.tensors()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_scores_are_found_by_the_body_under_any_head() -> None:
    space = tiny_supernet().space
    assert INTENTS.scores_of(space.smallest().with_head(INTENTS.head)) == INTENTS.scores[0]
    assert INTENTS.scores_of(space.largest()) is None


def test_a_configuration_from_before_tasks_still_reads(tmp_path: Path) -> None:
    path, _ = written(tmp_path)
    data = json.loads((path / "config.json").read_text())
    assert data.pop("task") is None
    (path / "config.json").write_text(json.dumps(data))
    assert checkpoint.load(path).supernet.task is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"head": {"kind": "none"}}, "classification with 3 outputs .* 'none' with 0"),
        ({"head": {"kind": "span", "outputs": 3}}, "classification with 3 outputs .* 'span' with"),
        ({"labels": ["a", "b"]}, "with 2 outputs for this task"),
        ({"labels": ["a", "b", "b"]}, r"got 3 \(2 different\)"),
        ({"labels": []}, "different names for a classification"),
        ({"kind": "regression"}, "none for others, but got 3"),
        ({"kind": "regression", "labels": []}, "classification with 1 outputs .* with 3"),
        ({"kind": "naming"}, "kind"),
        ({"metrics": []}, "must be some of accuracy, f1, matthews"),
        ({"max_length": 41}, "3 <= max_length <= 40"),
        ({"scores": [{"name": "largest"}]}, "body"),
    ],
    ids=str,
)
def test_a_record_that_does_not_fit_is_refused_by_name(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    path, _ = written_task(tmp_path, INTENTS)
    data = json.loads((path / "config.json").read_text())
    data["task"] |= change
    (path / "config.json").write_text(json.dumps(data))
    with pytest.raises(InputError, match=rf"config\.json must describe a supernet.*{message}"):
        checkpoint.load(path)


@pytest.mark.parametrize("count", [2, 4])
def test_a_head_of_other_sizes_is_refused(tmp_path: Path, count: int) -> None:
    path, _ = written_task(tmp_path, INTENTS)
    data = json.loads((path / "config.json").read_text())
    data["task"] |= {"labels": [f"label {i}" for i in range(count)]}
    data["task"]["head"]["outputs"] = count
    (path / "config.json").write_text(json.dumps(data))
    with pytest.raises(InputError, match=r"'task\.(bias|weight)' does not"):
        checkpoint.load(path)


@pytest.mark.parametrize("name", ["task.weight", "task.bias"])
def test_a_head_that_is_missing_is_refused_by_name(tmp_path: Path, name: str) -> None:
    path, _ = written_task(tmp_path, INTENTS)
    tensors = load_file(path / "supernet.safetensors")
    del tensors[name]
    save_file(tensors, path / "supernet.safetensors")
    with pytest.raises(InputError, match=rf"'{name}' does not"):
        checkpoint.load(path)


@pytest.mark.parametrize("name", ["supernet.safetensors", "config.json", "tokenizer.json"])
def test_a_missing_file_is_refused_by_name(tmp_path: Path, name: str) -> None:
    path, _ = written(tmp_path)
    (path / name).unlink()
    with pytest.raises(InputError, match=name):
        checkpoint.load(path)


@pytest.mark.parametrize("keep", [0, 100, 20_000])
def test_truncated_weights_are_refused_by_name(tmp_path: Path, keep: int) -> None:
    path, _ = written(tmp_path)
    file = path / "supernet.safetensors"
    file.write_bytes(file.read_bytes()[:keep])
    with pytest.raises(InputError, match=r"supernet\.safetensors"):
        checkpoint.load(path)


@pytest.mark.parametrize("how", ["missing", "extra", "shape"])
def test_tensors_that_do_not_fit_are_refused_by_name(tmp_path: Path, how: str) -> None:
    path, _ = written(tmp_path)
    tensors = load_file(path / "supernet.safetensors")
    if how == "extra":
        tensors["out.2b"] = torch.zeros(1)
    else:
        value = tensors.pop("out.2")
        if how == "shape":
            tensors["out.2"] = value[:, :1].contiguous()
    save_file(tensors, path / "supernet.safetensors")
    with pytest.raises(InputError, match=r"out\.2b?'"):
        checkpoint.load(path)


@pytest.mark.parametrize("order", [None, [0] * 32, list(range(31))], ids=["none", "same", "short"])
def test_a_stream_order_that_is_none_is_refused(tmp_path: Path, order: list[int] | None) -> None:
    path, _ = written(tmp_path)
    tensors = load_file(path / "supernet.safetensors")
    del tensors["stream_order"]
    if order is not None:
        tensors["stream_order"] = torch.tensor(order)
    save_file(tensors, path / "supernet.safetensors")
    with pytest.raises(InputError, match="order of the stream"):
        checkpoint.load(path)


@pytest.mark.parametrize("name", ["vocab_size", "width"])
def test_damaged_sizes_are_refused_before_they_are_allocated(tmp_path: Path, name: str) -> None:
    path, _ = written(tmp_path)
    data = json.loads((path / "config.json").read_text())
    data["source"]["embedding"][name] = 10**12
    if name == "width":
        for layer in data["source"]["layers"]:
            layer["width"] = 10**12
        data["choices"]["widths"] = data["choices"]["embedding_widths"] = [10**12]
    (path / "config.json").write_text(json.dumps(data))
    with pytest.raises(InputError, match=r"'embedding\.tokens' does not|order of the stream"):
        checkpoint.load(path)


def test_nothing_is_left_after_a_failed_save(tmp_path: Path) -> None:
    supernet = tiny_supernet()
    config = config_of(supernet)
    with pytest.raises(InputError, match=r"A tokenizer must be an existing file.*none\.json"):
        checkpoint.save(tmp_path / "out", supernet, config, like=(tmp_path / "none.json", ORDER))
    assert list(tmp_path.iterdir()) == []


def test_an_existing_directory_is_left_alone(tmp_path: Path) -> None:
    path, supernet = written(tmp_path)
    before = (path / "supernet.safetensors").read_bytes()
    config = checkpoint.load(path).config
    with pytest.raises(InputError, match="new or empty"):
        checkpoint.save(path, supernet, config, like=(path / "tokenizer.json", ORDER))
    assert (path / "supernet.safetensors").read_bytes() == before


def test_a_tokenizer_cuts_and_pads_nothing(tokenizer: Any) -> None:
    assert tokenizer.encode("w00 w01 w02 w03 w04").ids == [2, 5, 6, 7, 8, 9, 3]
    assert tokenizer.encode("w00").ids == [2, 5, 3]


def test_what_is_no_tokenizer_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(InputError, match=r"tokenizer\.json"):
        checkpoint.load_tokenizer(tmp_path / "tokenizer.json")


def test_a_configuration_is_replaced_and_the_weights_are_left(tmp_path: Path) -> None:
    path, _ = written(tmp_path)
    before = checkpoint.load(path)
    told = dataclasses.replace(before.config, provenance={"seed": "3"})
    checkpoint.write_config(path, told)
    after = checkpoint.load(path)
    assert after.config == told
    assert after.sha256 == before.sha256
    assert sorted(p.name for p in path.iterdir()) == [
        "config.json",
        "supernet.safetensors",
        "tokenizer.json",
    ]
