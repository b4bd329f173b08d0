"""Examples run in the groups in which a bundle would run their texts."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from exporters.text import TextEncoder
from fleetfit import Workload
from search.scoring import Examples, LabelledFile
from supernet.task_model import read_task_model


def examples(tuned: Path, labelled: Path, workload: Workload, *, fixed: bool = False) -> Examples:
    model, _ = read_task_model(tuned)
    file = LabelledFile(path=labelled)
    return Examples(model, tuned / "tokenizer.json", file, workload, fixed=fixed)


def test_groups_are_encoded_as_the_bundle_does(tuned: Path, labelled: Path) -> None:
    found = examples(tuned, labelled, Workload(batch=3, seq_len=16))
    groups = found.groups(range(len(found.encoded)))
    assert [len(g) for g in groups] == [3] * 13 + [1]
    texts = [line.rpartition(",")[0] for line in labelled.read_text().splitlines()[1:]]
    encoder = TextEncoder((tuned / "tokenizer.json").read_text(), max_length=16)
    for group in groups:
        wanted = encoder.encode([texts[row] for row in group])
        for name, values in found.inputs(group).items():
            np.testing.assert_array_equal(values, wanted[name])


def test_a_fixed_batch_is_filled_up(tuned: Path, labelled: Path) -> None:
    found = examples(tuned, labelled, Workload(batch=3, seq_len=16), fixed=True)
    inputs = found.inputs([7])
    assert {name: values.shape for name, values in inputs.items()} == dict.fromkeys(inputs, (3, 16))
    assert (inputs["input_ids"] == inputs["input_ids"][0]).all()


def test_examples_are_spread_over_the_file(tuned: Path, labelled: Path) -> None:
    found = examples(tuned, labelled, Workload())
    first, *_, last = found.spread(5)
    np.testing.assert_array_equal(first["input_ids"], found.inputs([0])["input_ids"])
    np.testing.assert_array_equal(last["input_ids"], found.inputs([39])["input_ids"])
    assert len(found.spread(1000)) == 40
    assert json.loads((tuned / "model.json").read_text())["max_length"] == 16
