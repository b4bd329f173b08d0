"""From a bundle back to training and to a bundle again, as docs/training.md says it."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest
import torch

from exporters import TaskMetric, load_bundle, read_weights
from fleetfit import Head, InputError
from search.back import task_model_of
from supernet.network import EncoderNetwork
from supernet.tasks import Columns, read_labelled, runner, task_of
from tests.exporters.bundles import (
    LABELS,
    build_bundle,
    build_manifest,
    build_mixed,
    build_spans,
)
from tests.search.cli_fakes import fleetfit, measure_by_fake

ROOT = Path(__file__).resolve().parents[2]
WORDS = ("i", "lost", "my", "card", "where")


def documented() -> str:
    """The block of docs/training.md, in Python."""
    text = (ROOT / "docs/training.md").read_text(encoding="utf-8")
    section = text[text.index("## From a bundle back to training") :]
    found = re.search(r"^```python\n(.*?)^```$", section, flags=re.DOTALL | re.MULTILINE)
    assert found is not None
    return found[1]


def loss_of(network: EncoderNetwork, model: Any, table: Path, tokenizer: Any) -> float:
    task = task_of(model)
    examples = read_labelled(table, Columns(), names=model.labels)
    encoded = task.encode(examples, tokenizer, model.max_length)
    every = range(len(encoded))
    loss = task.loss(runner(network.eval())(encoded.batch(every)), encoded, every)
    return float(loss.detach())


def test_a_bundle_trains_on_and_becomes_a_bundle_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The documented lines, word for word but for a learning rate that suits a tiny network."""
    monkeypatch.chdir(tmp_path)
    bundle = build_bundle(Path("my-bundle"))
    rows = [f"{word} is it,{label}" for word, label in zip(WORDS, LABELS, strict=True)] * 40
    table = Path("more.csv")
    table.write_text("\n".join(["text,label", *rows]) + "\n")
    code = documented()
    assert code.count("lr=5e-5") == 1
    done: dict[str, Any] = {}
    torch.manual_seed(0)
    exec(compile(code.replace("lr=5e-5", "lr=5e-3"), "docs/training.md", "exec"), done)
    model, tokenizer = done["model"], done["tokenizer"]
    before = EncoderNetwork.of(model.architecture, read_weights(bundle))
    first = loss_of(before, model, table, tokenizer)
    last = loss_of(done["network"], model, table, tokenizer)
    assert last < first / 2

    measure_by_fake(monkeypatch)
    target = ("--target", "onnxruntime-fp32", "--threads", 1, "--seq-len", 16)
    fleetfit(capsys, "export", "my-model", "my-next-bundle", *target, "--store", "my.db")
    again = load_bundle("my-next-bundle")
    assert [next(iter(one)) for one in again.predict(["my is it", "card is it"])] == [
        "refund",
        "top_up",
    ]
    assert again.manifest.licences[0].licence == "Apache-2.0"
    assert again.manifest.provenance["weights"] == "random"


@pytest.mark.parametrize(
    ("manifest", "kind", "metrics"),
    [
        (build_manifest(), "classification", ("accuracy",)),
        (build_manifest(metric=None), "classification", ("accuracy",)),
        (
            build_manifest(metric=TaskMetric(name="matthews", data="x", value=0.5)),
            "classification",
            ("matthews",),
        ),
        (build_spans(metric=None), "span", ("f1", "exact_match")),
        (
            build_manifest(
                architecture=build_mixed(Head(kind="classification", pooling="mean", outputs=1)),
                labels=(),
                metric=None,
            ),
            "regression",
            ("pearson",),
        ),
    ],
    ids=["accuracy", "none", "matthews", "span", "number"],
)
def test_the_task_is_that_of_the_head(manifest: Any, kind: str, metrics: tuple[str, ...]) -> None:
    found = task_model_of(manifest)
    assert (found.kind, found.metrics) == (kind, metrics)
    assert (found.labels, found.pairs) == (manifest.labels, manifest.pairs)


def test_what_export_added_to_the_provenance_is_gone() -> None:
    named = {"task": "train.csv", "calibration": "300 texts", "weights": "random"}
    manifest = dataclasses.replace(build_manifest(), provenance=named)
    found = task_model_of(manifest)
    assert (found.task, found.provenance) == ("train.csv", {"weights": "random"})


def test_a_bundle_of_no_task_is_refused() -> None:
    arch = build_mixed(Head(kind="embedding", pooling="mean"))
    with pytest.raises(InputError, match="must be of a task"):
        task_model_of(build_manifest(architecture=arch, labels=()))
