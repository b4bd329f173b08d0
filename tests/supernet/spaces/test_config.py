"""The configuration of a checkpoint: round trip, and what it refuses."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any, get_args

import pytest

import supernet
from fleetfit import InputError, dumps
from supernet.spaces import (
    CheckpointConfig,
    Choices,
    ElasticChoices,
    SpaceName,
    SuperShaperChoices,
    build_space,
    name_of_space,
    read_config,
)
from tests.supernet.spaces.spaces import AUTOTINYBERT, FULL, SPACES, SUPERSHAPER, source
from tests.supernet.tiny import edit_json

CONFIG = CheckpointConfig(
    source=source(),
    choices=FULL,
    pooling="mean",
    max_length=32,
    licences={"weights": "Apache-2.0"},
    provenance={"tokens": "12"},
)


def write(directory: Path) -> None:
    (directory / "config.json").write_text(dumps(CONFIG))


def test_it_comes_back_as_it_was(tmp_path: Path) -> None:
    write(tmp_path)
    assert read_config(tmp_path) == CONFIG
    assert read_config(tmp_path).space == SPACES["full"]


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"config\.json"):
        read_config(tmp_path)


@pytest.mark.parametrize(
    "change",
    [{"format_version": 2}, {"space_name": "other"}, {"pooling": "max"}, {"choice": 1}],
    ids=str,
)
def test_what_is_not_known_is_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    write(tmp_path)
    edit_json(tmp_path / "config.json", **change)
    with pytest.raises(InputError, match=next(iter(change))):
        read_config(tmp_path)


CHOICES: dict[SpaceName, Choices] = {
    "elastic": FULL,
    "supershaper": SUPERSHAPER["supershaper"].choices,
    "autotinybert": AUTOTINYBERT["autotinybert_narrowed"].choices,
}


@pytest.mark.parametrize("name", get_args(SpaceName))
def test_every_space_comes_back_as_it_was(tmp_path: Path, name: SpaceName) -> None:
    config = dataclasses.replace(CONFIG, space_name=name, choices=CHOICES[name])
    (tmp_path / "config.json").write_text(dumps(config))
    assert read_config(tmp_path) == config
    assert read_config(tmp_path).space == build_space(source(), CHOICES[name])
    assert name_of_space(CHOICES[name]) == name


def test_choices_of_the_elastic_space_carry_no_type(tmp_path: Path) -> None:
    # as in checkpoints written before there were other spaces
    assert "type" not in json.loads(dumps(CONFIG))["choices"]
    shipped = Path(supernet.__file__).parent / "default"
    config = read_config(shipped)
    assert isinstance(config.choices, ElasticChoices)
    written = json.loads((shipped / "config.json").read_text())
    assert json.loads(dumps(config)) == {"task": None} | written  # from before tasks, or after


@pytest.mark.parametrize("type_", [None, "SuperShaperChoices", "ElasticChoices", "Choices", [1]])
def test_choices_of_another_space_are_refused(tmp_path: Path, type_: Any) -> None:
    write(tmp_path)
    tag = {} if type_ is None else {"type": type_}
    edit_json(tmp_path / "config.json", choices=tag | {"widths": [16, 32]})
    with pytest.raises(InputError, match=r"config\.json .*(choices(\.type)?|space_name) must"):
        read_config(tmp_path)
    with pytest.raises(InputError, match="space_name must be 'supershaper'"):
        dataclasses.replace(CONFIG, choices=SuperShaperChoices(widths=(16, 32)))


def test_choices_that_do_not_fit_the_source_are_refused() -> None:
    config = CheckpointConfig(source=source(depth=4), choices=FULL, pooling="mean", max_length=32)
    with pytest.raises(InputError, match="largest choices"):
        _ = config.space


@pytest.mark.parametrize("length", [2, 10_000])
def test_a_length_beyond_the_positions_is_refused_by_name(tmp_path: Path, length: int) -> None:
    write(tmp_path)
    edit_json(tmp_path / "config.json", max_length=length)
    with pytest.raises(InputError, match=rf"config\.json .*3 <= max_length.*got {length}"):
        read_config(tmp_path)
